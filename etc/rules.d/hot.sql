-- A reading above 160 degrees becomes an alert of its own topic, which anybody may subscribe to:
--
--   mosquitto_sub -v -t 'alerts/#'
--
-- Change the limit here and save: the next message follows the new rule. What must stay true is in
-- hot.test beside this file; an edit that breaks it is not taken.

INSERT INTO 'alerts/${topic(2)}'
SELECT sensor_id, temperature, status, event_time
FROM   'sensors/+'
WHERE  temperature > 160;
