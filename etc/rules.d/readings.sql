-- Every reading of a sensor goes into the time series `readings`.
--
--   sensors/sensor-07  {"sensor_id":"sensor-07","temperature":61,"status":"OK","event_time":1635240020904}
--
-- Look at them:  headgate query "SELECT * FROM readings ORDER BY time DESC LIMIT 5"

CREATE TABLE readings WITH (
  'connector'          = 'timeseries',
  'dimensions'         = 'sensor_id, status',
  'measures'           = 'temperature',
  'time'               = 'event_time',
  'numbers'            = 'double',
  'memory.retention'   = '24h',
  'magnetic.retention' = '7d'
);

INSERT INTO readings
SELECT sensor_id, status, temperature, event_time
FROM   'sensors/+';
