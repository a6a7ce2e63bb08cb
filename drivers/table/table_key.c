/*
 * Order-preserving bytes of keys.
 *
 * A number is 0.D1D2D3... * 10^E, D1 not 0, at most 38 digits, E from -129 to 126 (DynamoDB's
 * 1E-130 to 9.99E125). Behind the tag:
 *
 *   negative   01 | ~(E + 129) | ~pair ~pair ... | FF
 *   zero       02
 *   positive   03 |   E + 129  |  pair  pair ...
 *
 * A pair is two digits as 0..99, plus 1; an odd last digit is filled up with 0. Trailing zeros are
 * stripped, so a number that is the beginning of another one is the smaller of the two, and with
 * FF behind it the larger where the order is reversed.
 */
#include "table_key.h"

enum { EXPONENT_MIN = -129, EXPONENT_MAX = 126, EXPONENT_CLAMP = 1000000 };

/* The digits behind 'e', clamped: a longer one is out of any range. */
static int64_t
read_exponent(struct bytes text)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    int64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] >= '0' && text.data[i] <= '9' && value < EXPONENT_CLAMP) {
            value = value * 10 + (text.data[i] - '0');
        }
    }
    return negative ? -value : value;
}

static void
strip_zeros(struct table_number *number)
{
    while (number->count > 0 && number->digits[number->count - 1] == 0) {
        number->count--;
    }
}

bool
table_number_read(struct table_number *out, struct bytes text)
{
    struct table_number number = {.negative = text.size > 0 && text.data[0] == '-'};
    bool fraction = false;
    bool fits = true;
    size_t i = number.negative ? 1 : 0;
    for (; i < text.size && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        if (text.data[i] == '.') {
            fraction = true;
            continue;
        }
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (number.count == 0 && digit == 0) {
            number.exponent -= fraction;
            continue;
        }
        number.exponent += !fraction;
        if (number.count < TABLE_DIGITS_MAX) {
            number.digits[number.count++] = digit;
        } else {
            fits = fits && digit == 0;
        }
    }
    number.exponent += read_exponent(bytes_slice(text, i + 1, text.size));
    strip_zeros(&number);
    *out = number;
    return fits;
}

const char *
table_key_append_number(struct buf *out, struct bytes text)
{
    struct table_number number;
    if (!table_number_read(&number, text)) {
        return "has more than 38 digits";
    }
    if (number.count > 0
        && (number.exponent < EXPONENT_MIN || number.exponent > EXPONENT_MAX)) {
        return "is outside of 1E-130 to 9.99E125";
    }
    buf_append_char(out, TABLE_KEY_NUMBER);
    if (number.count == 0) {
        buf_append_char(out, 2);
        return NULL;
    }
    unsigned flip = number.negative ? 0xff : 0;
    buf_append_char(out, number.negative ? 1 : 3);
    buf_append_char(out, (char)((unsigned)(number.exponent - EXPONENT_MIN) ^ flip));
    for (size_t i = 0; i < number.count; i += 2) {
        unsigned low = i + 1 < number.count ? number.digits[i + 1] : 0;
        buf_append_char(out, (char)((number.digits[i] * 10U + low + 1) ^ flip));
    }
    if (number.negative) {
        buf_append_char(out, (char)0xff);
    }
    return NULL;
}

void
table_key_append_text(struct buf *out, enum table_key_type type, struct bytes text)
{
    buf_append_char(out, (char)type);
    buf_append(out, text);
}
