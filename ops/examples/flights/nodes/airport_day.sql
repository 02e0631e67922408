DELETE FROM airport_day WHERE ds = '${ds}';

INSERT INTO airport_day (ds, airport, city, state, flights, miles, delay_minutes)
SELECT f.ds, f.origin, a.city, a.state, COUNT(*), SUM(f.miles), SUM(f.delay)
FROM flights f
LEFT JOIN airports a ON a.month = '${month}' AND a.airport = f.origin
WHERE f.ds = '${ds}'
GROUP BY f.ds, f.origin, a.city, a.state;
