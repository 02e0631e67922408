DELETE FROM route_hour WHERE ds = '${ds}' AND hour = CAST('${hour}' AS integer);

INSERT INTO route_hour (ds, hour, origin, destination, flights, late, delay_minutes, worst_minutes)
SELECT ds, hour, origin, destination, COUNT(*), SUM(CASE WHEN delay > 15 THEN 1 ELSE 0 END), SUM(delay), MAX(delay)
FROM flights
WHERE ds = '${ds}' AND hour = CAST('${hour}' AS integer)
GROUP BY ds, hour, origin, destination;
