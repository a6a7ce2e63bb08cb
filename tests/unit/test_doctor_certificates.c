/* Certificates and keys, made here with OpenSSL. */
#include "doctor_rig.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { DAY_S = 86400 };

/* PEM text of a new key. */
static EVP_PKEY *
make_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

static void
put_bio(struct clinic *clinic, const char *path, BIO *bio)
{
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    char *text = bytes_to_string(bytes_of(data, (size_t)size));
    clinic_put(clinic, path, text);
    free(text);
    BIO_free(bio);
}

static void
put_key(struct clinic *clinic, const char *path, EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, passphrase == NULL ? NULL : EVP_aes_128_cbc(),
                                              NULL, 0, NULL, (void *)(uintptr_t)passphrase), 1);
    put_bio(clinic, path, bio);
}

/* Valid from `from` to `to` days from the clinic's now. */
static void
put_certificate(struct clinic *clinic, const char *path, EVP_PKEY *key, int from, int to)
{
    X509 *certificate = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    time_t now = (time_t)(clinic->world.wall_us / 1000000);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), now + from * DAY_S));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), now + to * DAY_S + 60));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    put_bio(clinic, path, bio);
    X509_free(certificate);
}

static const struct doctor_credential BROKER = {"broker", "/c/ca.pem", "/c/client.pem",
                                                "/c/client.key"};

/* A clinic with a good certificate, its key and an authority. */
static void
admit(struct clinic *clinic, EVP_PKEY **key)
{
    clinic_init(clinic);
    *key = make_key();
    put_certificate(clinic, "/c/ca.pem", *key, -1, 1000);
    put_certificate(clinic, "/c/client.pem", *key, -1, 100);
    put_key(clinic, "/c/client.key", *key, NULL);
    clinic->subject.credentials = &BROKER;
    clinic->subject.credential_count = 1;
    clinic_look(clinic, doctor_certificates);
    assert_healthy(clinic);
    assert_found(clinic, FINDING_OK, "3 files");
}

static void
discharge(struct clinic *clinic, EVP_PKEY *key)
{
    EVP_PKEY_free(key);
    clinic_fini(clinic);
}

static void
none_is_named(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_look(&clinic, doctor_certificates);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "none is named");
    clinic_fini(&clinic);
}

static void
dates_are_judged(void **state)
{
    static const struct {
        int from, to;
        enum finding_level level;
        const char *words;
    } cases[] = {
            {-1, 31, FINDING_OK, NULL},
            {-1, 29, FINDING_WARNING, "broker: the certificate '/c/client.pem' expires in 29 days"},
            {-9, -2, FINDING_ERROR, "has expired 1 day ago"},
            {2, 100, FINDING_ERROR, "is not valid yet"},
    };
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_certificate(&clinic, "/c/client.pem", key, cases[i].from, cases[i].to);
        clinic_look(&clinic, doctor_certificates);
        if (cases[i].words == NULL) {
            assert_healthy(&clinic);
        } else {
            assert_found(&clinic, cases[i].level, cases[i].words);
        }
    }
    discharge(&clinic, key);
}

static void
the_brokers_own_are_looked_at(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    clinic.subject.credential_count = 0;
    clinic_broker(&clinic, "listener 8883\ncafile /c/ca.pem\ncertfile /b/cert.pem\n"
                           "keyfile /b/key.pem\nlistener 1883\n");
    put_certificate(&clinic, "/b/cert.pem", key, -1, 100);
    put_key(&clinic, "/b/key.pem", key, NULL);
    clinic_look(&clinic, doctor_certificates);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "3 files");
    put_certificate(&clinic, "/b/cert.pem", key, -9, -2);
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_ERROR,
                 "the broker's listener 8883: the certificate '/b/cert.pem' has expired 1 day ago");
    clinic.subject.broker_host = BYTES("10.0.0.9");
    clinic_look(&clinic, doctor_certificates);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "none is named");
    discharge(&clinic, key);
}

static void
an_authority_expires_too(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    put_certificate(&clinic, "/c/ca.pem", key, -1, 3);
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_WARNING, "the authority '/c/ca.pem' expires in 3 days");
    discharge(&clinic, key);
}

static void
nothing_is_judged_by_a_clock_that_is_not_set(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    clinic.world.wall_us = 1000000;
    clinic_look(&clinic, doctor_certificates);
    assert_healthy(&clinic);
    discharge(&clinic, key);
}

static void
files_must_be_there_and_be_what_they_should(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    clinic_put(&clinic, "/c/client.pem", "-----BEGIN NONSENSE-----\n");
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_ERROR, "'/c/client.pem' is no certificate in PEM form");
    clinic_put(&clinic, "/c/client.key", "");
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_ERROR, "'/c/client.key' is no key without a passphrase in PEM "
                 "form");
    clinic_remove(&clinic, "/c/client.key");
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_ERROR, "the key '/c/client.key' cannot be read");
    discharge(&clinic, key);
}

static void
a_key_must_be_that_of_the_certificate(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key, *other = make_key();
    admit(&clinic, &key);
    put_key(&clinic, "/c/client.key", other, NULL);
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_ERROR, "the key '/c/client.key' is not that of the certificate");
    EVP_PKEY_free(other);
    discharge(&clinic, key);
}

static void
a_key_with_a_passphrase_is_no_use(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    put_key(&clinic, "/c/client.key", key, "secret");
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_ERROR, "no key without a passphrase");
    discharge(&clinic, key);
}

static void
a_key_is_for_few(void **state)
{
    struct clinic clinic;
    EVP_PKEY *key;
    admit(&clinic, &key);
    clinic_mode(&clinic, "/c/client.key", 0640);
    clinic_look(&clinic, doctor_certificates);
    assert_healthy(&clinic);
    clinic_mode(&clinic, "/c/client.key", 0644);
    clinic_look(&clinic, doctor_certificates);
    assert_found(&clinic, FINDING_WARNING, "may read the key '/c/client.key'");
    discharge(&clinic, key);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(none_is_named),
            cmocka_unit_test(dates_are_judged),
            cmocka_unit_test(the_brokers_own_are_looked_at),
            cmocka_unit_test(an_authority_expires_too),
            cmocka_unit_test(nothing_is_judged_by_a_clock_that_is_not_set),
            cmocka_unit_test(files_must_be_there_and_be_what_they_should),
            cmocka_unit_test(a_key_must_be_that_of_the_certificate),
            cmocka_unit_test(a_key_with_a_passphrase_is_no_use),
            cmocka_unit_test(a_key_is_for_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
