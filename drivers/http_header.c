#include "http_header.h"

#include <string.h>

bool
http_header_is_name(struct bytes name)
{
    static const char marks[] = "!#$%&'*+-.^_`~"; /* RFC 9110 5.6.2 */
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr(marks, c) == NULL)) {
            return false;
        }
    }
    return name.size > 0;
}

bool
http_header_has_control(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

bool
http_header_frames(struct bytes name)
{
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Connection",
                                        "Expect", "Upgrade", "TE", "Trailer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(names[i]))) {
            return true;
        }
    }
    return false;
}

const char *
http_header_problem(struct bytes name, struct bytes value)
{
    return !http_header_is_name(name)       ? "is not a header's name"
           : http_header_has_control(value) ? "holds a control character"
           : http_header_frames(name)       ? "cannot be set"
                                            : NULL;
}
