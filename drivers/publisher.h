/*
 * Between the topic sink and its publisher process: frames (base/frame.h) over the child's socket.
 *
 *   PUBLISHER_CONFIG    sink name (counted), then the configuration's text to the end
 *   PUBLISHER_BATCH     u64 number, u32 patience in ms, u8 qos, u8 retain, varint count,
 *                       { counted topic, counted payload, counted id, varint hops } each
 *   PUBLISHER_VERDICTS  u64 number, varint count, { u8 verdict, counted reason } each: the answer
 *
 * There is one batch at a time; its answer comes within the patience, give or take a second.
 */
#ifndef HEADGATE_DRIVERS_PUBLISHER_H
#define HEADGATE_DRIVERS_PUBLISHER_H

enum publisher_frame { PUBLISHER_CONFIG = 1, PUBLISHER_BATCH = 2, PUBLISHER_VERDICTS = 3 };

/* The verb "publisher": main of the process. Never returns while it is wanted. */
int publisher_process_main(void);

#endif
