/*
 * Device messages to rows of a time-series table, as the function of the Timestream recipe does.
 *
 *   CREATE FUNCTION ingest AS 'timestream_rows.c' LANGUAGE C WITH ('libraries' = 'cjson');
 *   CREATE TABLE sensor_data WITH ('connector' = 'timeseries', 'numbers' = 'double');
 *   INSERT INTO ingest SELECT * FROM 'topic/sensors';
 *   INSERT INTO sensor_data SELECT * FROM ingest;
 *
 * in   {"device_id":"sensor-001","location":"hall","sensors":{"temperature":25.5,"humidity":65.2}}
 *      {"device_id":"sensor-001","measurement":7,"metric_name":"rpm"}
 *      a list of these, or {"Records":[{"body":"<json>"},{"Sns":{"Message":"<json>"}}]}
 * out  {"device_id":"sensor-001","location":"hall","time":1700000000000,"temperature":25.5,...}
 *
 * Dimensions: device_id and location ("unknown" where missing). Measures: all of `sensors`, and
 * `measurement` under the name in `metric_name` ("value" where missing). The time is when the
 * message arrived; a timestamp in the payload is ignored, as in the recipe. Unlike the recipe, a
 * value that is not a number fails its record instead of the write of all.
 */
#include <headgate/handler.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct input {
    struct headgate_context *context;
    const struct headgate_record *record;
    const char *failure; /* the first thing that is wrong, or NULL */
};

static const char *
text_of(const cJSON *message, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(message, name);
    return cJSON_IsString(member) ? member->valuestring : "unknown";
}

/* A number, or text that is one in full. */
static int
number_of(const cJSON *value, double *out)
{
    char *end;
    if (cJSON_IsNumber(value)) {
        *out = value->valuedouble;
        return 1;
    }
    if (!cJSON_IsString(value) || value->valuestring[0] == '\0') {
        return 0;
    }
    *out = strtod(value->valuestring, &end);
    return *end == '\0' && isfinite(*out);
}

static void
add_measure(struct input *input, cJSON *row, const char *name, const cJSON *value)
{
    double number;
    if (number_of(value, &number)) {
        cJSON_AddNumberToObject(row, name, number);
    } else {
        input->failure = "a measure is not a number";
    }
}

static void
take_message(struct input *input, const cJSON *message)
{
    if (!cJSON_IsObject(message)) {
        input->failure = "a message is not a JSON object";
        return;
    }
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "device_id", text_of(message, "device_id"));
    cJSON_AddStringToObject(row, "location", text_of(message, "location"));
    cJSON_AddNumberToObject(row, "time", (double)(input->record->time_us / 1000));
    int dimensions = cJSON_GetArraySize(row);
    const cJSON *sensor;
    cJSON_ArrayForEach(sensor, cJSON_GetObjectItemCaseSensitive(message, "sensors"))
    {
        add_measure(input, row, sensor->string, sensor);
    }
    const cJSON *measurement = cJSON_GetObjectItemCaseSensitive(message, "measurement");
    if (measurement != NULL) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(message, "metric_name");
        add_measure(input, row, cJSON_IsString(name) ? name->valuestring : "value", measurement);
    }
    char *out = cJSON_GetArraySize(row) > dimensions ? cJSON_PrintUnformatted(row) : NULL;
    if (out != NULL && input->failure == NULL) {
        headgate_emit(input->context, input->record->topic, out, strlen(out));
    }
    free(out);
    cJSON_Delete(row);
}

/* A message inside the envelope of a queue or a notification. */
static void
take_enveloped(struct input *input, const cJSON *envelope)
{
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(envelope, "body");
    const cJSON *sns = cJSON_GetObjectItemCaseSensitive(envelope, "Sns");
    const cJSON *text = body != NULL ? body : cJSON_GetObjectItemCaseSensitive(sns, "Message");
    cJSON *message = cJSON_IsString(text) ? cJSON_Parse(text->valuestring) : NULL;
    take_message(input, message);
    cJSON_Delete(message);
}

static void
take_payload(struct input *input, const cJSON *payload)
{
    const cJSON *records = cJSON_GetObjectItemCaseSensitive(payload, "Records");
    const cJSON *entry;
    if (cJSON_IsArray(records)) {
        cJSON_ArrayForEach(entry, records)
        {
            take_enveloped(input, entry);
        }
    } else if (cJSON_IsArray(payload)) {
        cJSON_ArrayForEach(entry, payload)
        {
            take_message(input, entry);
        }
    } else {
        take_message(input, payload);
    }
}

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct input input = {context, &records[i], NULL};
        cJSON *payload = cJSON_ParseWithLengthOpts(records[i].payload, records[i].payload_size + 1,
                                                   NULL, 1);
        take_payload(&input, payload);
        if (input.failure != NULL) {
            headgate_fail(context, i, input.failure);
        }
        cJSON_Delete(payload);
    }
    return 0;
}
