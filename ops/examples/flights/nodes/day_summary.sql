DELETE FROM day_summary WHERE ds = '${ds}';

INSERT INTO day_summary (ds, flights, routes, late, delay_minutes, worst_hour)
SELECT ds, SUM(flights), COUNT(DISTINCT origin || '-' || destination), SUM(late), SUM(delay_minutes),
  (SELECT hour FROM route_hour WHERE ds = '${ds}' GROUP BY hour ORDER BY SUM(delay_minutes) DESC, hour LIMIT 1)
FROM route_hour
WHERE ds = '${ds}'
GROUP BY ds;

-- Shown in the log.
SELECT * FROM day_summary WHERE ds = '${ds}';
