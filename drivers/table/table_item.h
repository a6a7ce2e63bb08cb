/*
 * From a record to what it does to the table: put an item, merge into one, delete one.
 *
 * The payload of a record is the item, a JSON object, its key among its members. A record whose
 * rule gives the parameters of AWS' dynamoDB action brings the key in them, and the payload
 * becomes one member (reference: AWS IoT, rule actions, DynamoDB and DynamoDBv2).
 *
 * A binary is written {"$binary":"<base64>"}. Pure.
 */
#ifndef HEADGATE_DRIVERS_TABLE_ITEM_H
#define HEADGATE_DRIVERS_TABLE_ITEM_H

#include "table_key.h"

#include "base/json.h"

enum {
    TABLE_ITEM_MAX = 400 * 1024, /* bytes of JSON text; DynamoDB counts names and values */
    TABLE_PARTITION_MAX = 2048,  /* bytes of a string or binary */
    TABLE_SORT_MAX = 1024,
};

struct table_key_member {
    struct bytes name;
    enum table_key_type type;
};

struct table_keys {
    struct table_key_member partition;
    struct table_key_member sort; /* without a name: the table has none */
};

enum table_change_kind { TABLE_PUT, TABLE_MERGE, TABLE_DELETE };

struct table_change {
    enum table_change_kind kind;
    struct bytes partition; /* table_key.h */
    struct bytes sort;      /* empty in a table without sort keys */
    struct json item;       /* an object; of a delete the key alone */
    struct bytes reason;    /* not empty: refused, all above means nothing */
};

/*
 * `params` is empty, or a JSON object of the action's parameters: hashKeyField, hashKeyValue,
 * hashKeyType, rangeKeyField, rangeKeyValue, rangeKeyType, payloadField, operation. Everything is
 * in `arena` or borrowed from the texts.
 */
void table_item_read(const struct table_keys *keys, struct bytes params, struct bytes payload,
                     struct arena *arena, struct table_change *out);

/*
 * Makes a TABLE_MERGE a TABLE_PUT of the stored item with the members of the change over it, or
 * refuses it.
 */
void table_item_merge(const struct json *stored, struct table_change *change,
                      struct arena *arena);

/* The key out of a JSON object that holds its members and no others. */
void table_item_key(const struct table_keys *keys, struct bytes text, struct arena *arena,
                    struct table_change *out);

/* Appends the key bytes of a string, number or binary node; false for any other node. */
bool table_item_key_bytes(const struct json *json, uint32_t node, struct arena *arena,
                          struct buf *out) MUST_CHECK;

#endif
