-- Delays of the flights of a route in an hour of a day.
CREATE TABLE IF NOT EXISTS route_hour (
  ds text NOT NULL,            -- day, yyyymmdd
  hour integer NOT NULL,       -- of departure, local
  origin text NOT NULL,
  destination text NOT NULL,
  flights integer NOT NULL,
  late integer NOT NULL,       -- by more than a quarter of an hour
  delay_minutes integer NOT NULL,
  worst_minutes integer NOT NULL,
  PRIMARY KEY (ds, hour, origin, destination)
);

-- A day in one row.
CREATE TABLE IF NOT EXISTS day_summary (
  ds text PRIMARY KEY,
  flights integer NOT NULL,
  routes integer NOT NULL,
  late integer NOT NULL,
  delay_minutes integer NOT NULL,
  worst_hour integer           -- whose flights were latest together
);

-- An airport's departures of a day.
CREATE TABLE IF NOT EXISTS airport_day (
  ds text NOT NULL,
  airport text NOT NULL,
  city text NOT NULL,
  state text NOT NULL,
  flights integer NOT NULL,
  miles integer NOT NULL,
  delay_minutes integer NOT NULL,
  PRIMARY KEY (ds, airport)
);

-- The seven days that end with a day, and how they compare with those of the
-- day before.
CREATE TABLE IF NOT EXISTS week_average (
  ds text PRIMARY KEY,
  days integer NOT NULL,       -- fewer where the data begins
  flights integer NOT NULL,
  delay_hundredths integer NOT NULL, -- mean of a flight, hundredths of a minute, half away from zero
  change_hundredths integer    -- since the day before; none on the first day
);
