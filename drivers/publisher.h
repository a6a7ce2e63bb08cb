/*
 * Between a sink and its publisher process: frames (base/frame.h) over the child's socket.
 *
 *   PUBLISHER_CONFIG    u8 bridge (options are named without 'broker_'), the client id's end
 *                       (counted), then the configuration's text to the end
 *   PUBLISHER_BATCH     u64 number, u32 patience in ms, u8 retain, varint count,
 *                       { counted topic, payload, id, varint hops, u8 qos, counted headers } each
 *   PUBLISHER_VERDICTS  u64 number, varint count, { u8 verdict, counted reason } each: the answer
 *
 * Headers are empty, or: u8 flags, varint expiry in seconds, counted content type, response topic,
 * correlation data, varint count, { counted key, value } each. Empty texts are absent ones.
 *
 * There is one batch at a time; its answer comes within the patience, give or take a second.
 */
#ifndef HEADGATE_DRIVERS_PUBLISHER_H
#define HEADGATE_DRIVERS_PUBLISHER_H

enum publisher_frame { PUBLISHER_CONFIG = 1, PUBLISHER_BATCH = 2, PUBLISHER_VERDICTS = 3 };

/* Flags of headers. */
enum { PUBLISHER_TEXT = 1, PUBLISHER_EXPIRES = 2 };

/* The verb "publisher": main of the process. Never returns while it is wanted. */
int publisher_process_main(void);

#endif
