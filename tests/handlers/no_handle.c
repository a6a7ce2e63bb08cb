#include <headgate/handler.h>

int
handel(void)
{
    return 0;
}
