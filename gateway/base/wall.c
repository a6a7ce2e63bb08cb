#include "wall.h"

#define BELIEVED_AFTER_US (INT64_C(24) * 3600 * 1000000)
#define DOUBTED_FOR_US (INT64_C(600) * 1000000) /* of the monotonic clock, which begins at the boot */

bool
wall_is_set(int64_t wall_us)
{
    return wall_us >= INT64_C(1704067200000000); /* 2024-01-01 */
}

static int64_t
step_of(const struct wall *wall, int64_t offset_us)
{
    int64_t step_us = wall->is_seen ? offset_us - wall->offset_us : 0;
    return step_us > WALL_STEP_US || step_us < -WALL_STEP_US ? step_us : 0;
}

int64_t
wall_look(struct wall *wall, const struct os *os)
{
    int64_t mono_us = os->mono_us(os);
    int64_t offset_us = os->wall_us(os) - mono_us;
    int64_t step_us = step_of(wall, offset_us);
    if (step_us != 0 || !wall->is_seen) {
        wall->since_us = mono_us;
    }
    wall->offset_us = offset_us;
    wall->is_seen = true;
    return step_us;
}

bool
wall_is_believed(const struct wall *wall, const struct os *os)
{
    int64_t wall_us = os->wall_us(os);
    int64_t mono_us = os->mono_us(os);
    bool has_run = wall->is_seen && step_of(wall, wall_us - mono_us) == 0 &&
                   mono_us - wall->since_us >= BELIEVED_AFTER_US;
    return wall_is_set(wall_us) && (has_run || os->is_synchronised(os));
}

bool
wall_is_doubted(const struct os *os)
{
    return !wall_is_set(os->wall_us(os)) ||
           (os->mono_us(os) < DOUBTED_FOR_US && !os->is_synchronised(os));
}
