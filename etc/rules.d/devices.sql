-- Devices that report several values at once, all on one topic. Each selected member becomes a
-- measure with its own type, device_id and location also become dimensions: the rows are those that
-- AWS IoT Core's Timestream action writes for the same rule.
--
--   topic/sensors  {"device_id":"iot-sensor-001","location":"production-line-1",
--                   "timestamp":"2024-01-01T12:00:00Z","temperature":26.5,"humidity":72.0,...}
--
-- Look at them:  headgate query "SELECT * FROM devices ORDER BY time DESC LIMIT 6"

CREATE TABLE devices WITH (
  'connector'          = 'timestream',
  'dimensions'         = 'device_id, location',
  'measures'           = 'device_id, location, timestamp, temperature, humidity, pressure, vibration',
  'memory.retention'   = '24h',
  'magnetic.retention' = '365d'
);

INSERT INTO devices
SELECT device_id, location, timestamp, temperature, humidity, pressure, vibration
FROM   'topic/sensors';
