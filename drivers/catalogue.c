/* The table of drivers.def as data, and look-up by connector name. */
#include "driver.h"

#define DRIVER(connector, c_name) extern const struct driver driver_##c_name;
#include "drivers.def"
#undef DRIVER

const struct driver *const driver_catalogue[] = {
#define DRIVER(connector, c_name) &driver_##c_name,
#include "drivers.def"
#undef DRIVER
        NULL,
};

const struct driver *
driver_find(struct bytes name)
{
    for (const struct driver *const *row = driver_catalogue; *row != NULL; row++) {
        if (bytes_equal_string(name, (*row)->name)) {
            return *row;
        }
    }
    return NULL;
}
