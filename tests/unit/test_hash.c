#include "expression.h"
#include "unit.h"

/*
 * The MD2 values are the test suite of RFC 1319 (appendix A.5); the rest was computed with Python's
 * hashlib. What the seven functions do with other types than String is one row each.
 */

struct hash_case {
    const char *expression;
    const char *value;
};

static void
assert_hashes(const struct hash_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_value(cases[i].expression, cases[i].value);
    }
}

static void
md2_gives_the_values_of_its_rfc(void **state)
{
    static const struct hash_case cases[] = {
            {"md2('')", "\"8350e5a3e24c153df2275c9f80692773\""},
            {"md2('a')", "\"32ec01ec4a6dac72c0ab96fb34c0b5d1\""},
            {"md2('abc')", "\"da853b0d3f88d99b30283a69e6ded6bb\""},
            {"md2('message digest')", "\"ab4f496bfb2a530b219ff33031fe06b0\""},
            {"md2('abcdefghijklmnopqrstuvwxyz')", "\"4e8ddff3650292ab5a4108c3aa47940b\""},
            {"md2('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789')",
             "\"da33def2a42df13975352846c30338cd\""},
            {"md2('1234567890123456789012345678901234567890123456789012345678901234567890"
             "1234567890')",
             "\"d5976f79d83d3a0dc9806c3c66f3efd8\""},
    };
    assert_hashes(cases, sizeof cases / sizeof cases[0]);
}

static void
the_others_are_openssl_s(void **state)
{
    static const struct hash_case cases[] = {
            {"md5('')", "\"d41d8cd98f00b204e9800998ecf8427e\""},
            {"md5('grün')", "\"7b934a60ddc07b8f5b1134c03430bba6\""},
            {"sha1('')", "\"da39a3ee5e6b4b0d3255bfef95601890afd80709\""},
            {"sha1('grün')", "\"bbbb29c05fe80b397ad394a3f490cef7f4bba376\""},
            {"sha224('')", "\"d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f\""},
            {"sha224('grün')", "\"d57a4a932b464c673ec1f085069657cfffccd0654c1e568cdc7e10f1\""},
            {"sha256('')", "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""},
            {"sha256('grün')",
             "\"fe263064ba02eaeac482aaf1309553779bdb78e385cb1374654de293e191d785\""},
            {"sha384('')",
             "\"38b060a751ac96384cd9327eb1b1e36a21fdb71114be0743"
             "4c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b\""},
            {"sha384('grün')",
             "\"8a6276c84834e2afd09c1730939a3a043604a3b35d7d09f0"
             "db57277e76951b437bded9e70fc316b51633a49b3310da75\""},
            {"sha512('')",
             "\"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
             "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e\""},
            {"sha512('grün')",
             "\"08184768b884ac5f62d357c3c7ff089d4d9bb07bafee54840dc81839c3521637"
             "2485229467759fedbb0e91a0ebddf6673ddcc6557f463a70f09e19c994cfdd5d\""},
    };
    assert_hashes(cases, sizeof cases / sizeof cases[0]);
}

static void
values_are_hashed_by_their_text(void **state)
{
    static const struct hash_case cases[] = {
            {"md5(10.0)", "\"d3d9446802a44259755d38e6d163e820\""},
            {"md5(0.50)", "\"d310cb367d993fb6fb584b198a2fd72c\""},
            {"md5(true)", "\"b326b5062b2f0e69046810717534cb09\""},
            {"md5([1, 'a'])", "\"fd4105d9312f0888af6ee470373c2c0d\""},
            {"md5({'k': null})", "\"5f93a0a90b877da188f8289ada2e3334\""},
            {"md2(null)", "Undefined"},
            {"md5(missing)", "Undefined"},
            {"sha1(null)", "Undefined"},
            {"sha224(missing)", "Undefined"},
            {"sha256(1 / 0)", "Undefined"},
            {"sha384(null)", "Undefined"},
            {"sha512(missing)", "Undefined"},
    };
    assert_hashes(cases, sizeof cases / sizeof cases[0]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(md2_gives_the_values_of_its_rfc),
            cmocka_unit_test(the_others_are_openssl_s),
            cmocka_unit_test(values_are_hashed_by_their_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
