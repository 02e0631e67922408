DELETE FROM week_average WHERE ds = '${ds}';

INSERT INTO week_average (ds, days, flights, delay_hundredths)
SELECT '${ds}', COUNT(*), SUM(flights),
  CASE WHEN SUM(delay_minutes) < 0
    THEN -((-200 * SUM(delay_minutes) + SUM(flights)) / (2 * SUM(flights)))
    ELSE (200 * SUM(delay_minutes) + SUM(flights)) / (2 * SUM(flights)) END
FROM day_summary
WHERE ds BETWEEN '${first}' AND '${ds}';

UPDATE week_average
SET change_hundredths = delay_hundredths - (SELECT b.delay_hundredths FROM week_average b WHERE b.ds = '${before}')
WHERE ds = '${ds}';
