/* One end of a DTLS connection by Mbed TLS 2.28, for tests/dtls/mbedtls.py, which compiles and calls this.

   Everything that differs from run to run is replaced: datagrams lie in memory, the time is what the caller
   says, random bytes come from a seed. So the same test sends the same bytes every time. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/ecp.h>
#include <mbedtls/hmac_drbg.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/x509_crt.h>

enum {
    MAX_LIST = 64,
    MAX_DATAGRAM = 16384,
    MAX_OUTPUT = 65536, /* much more than one flight; the caller fetches the output after every call */
    DIGEST = 32,
    MASTER_SECRET = 48,
    RANDOM = 32,
    FIRST_TIMEOUT = 1000, /* ms, as RFC 6347 section 4.2.4.1 has it, and so is the longest */
    LONGEST_TIMEOUT = 60000,
};

/* Lists of codes from the IANA registries end with 0. */
struct options {
    int server;
    int cookies;
    int ask_certificate;
    int extended_master_secret;
    int mtu; /* bytes of UDP payload */
    const unsigned char *certificate; /* DER, like the key */
    size_t certificate_length;
    const unsigned char *key;
    size_t key_length;
    const unsigned char *peer_sha256; /* the fingerprint of the only peer to be trusted, or NULL for any peer */
    const int *suites;
    const int *groups;
    const int *profiles;
    const unsigned char *seed;
    size_t seed_length;
};

struct end {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
    mbedtls_hmac_drbg_context random;
    mbedtls_ssl_cookie_ctx cookies;
    int suites[MAX_LIST];
    mbedtls_ecp_group_id groups[MAX_LIST];
    mbedtls_ssl_srtp_profile profiles[MAX_LIST];
    int pinned;
    unsigned char peer_sha256[DIGEST];

    unsigned char input[MAX_DATAGRAM];
    size_t input_length; /* 0: nothing has arrived */
    unsigned char output[MAX_OUTPUT]; /* datagrams, each after its length in two bytes */
    size_t output_length;

    double now; /* seconds */
    int timer_runs;
    double intermediate, final;

    mbedtls_tls_prf_types prf;
    unsigned char master_secret[MASTER_SECRET];
    unsigned char randoms[2 * RANDOM]; /* the client's, the server's */
};

/* Replaces the C library's function: Mbed TLS puts the time into its random and into cookies. */
time_t __wrap_time(time_t *result);

time_t __wrap_time(time_t *result)
{
    const time_t first_of_january_2026 = 1767225600;
    if (result != NULL)
        *result = first_of_january_2026;
    return first_of_january_2026;
}

static int send_datagram(void *context, const unsigned char *data, size_t length)
{
    struct end *end = context;
    if (length > MAX_DATAGRAM || end->output_length + 2 + length > MAX_OUTPUT)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    unsigned char *place = end->output + end->output_length;
    place[0] = (unsigned char) (length >> 8);
    place[1] = (unsigned char) length;
    memcpy(place + 2, data, length);
    end->output_length += 2 + length;
    return (int) length;
}

static int receive_datagram(void *context, unsigned char *buffer, size_t size)
{
    struct end *end = context;
    if (end->input_length == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    size_t length = end->input_length < size ? end->input_length : size;
    memcpy(buffer, end->input, length);
    end->input_length = 0;
    return (int) length;
}

static void set_timer(void *context, uint32_t intermediate, uint32_t final)
{
    struct end *end = context;
    /* Mbed TLS gives up when its own maximum is reached. The maximum is set to weeks, and the timeouts are
       computed here. */
    uint32_t milliseconds = final < LONGEST_TIMEOUT ? final : LONGEST_TIMEOUT;
    end->timer_runs = final != 0;
    end->final = end->now + milliseconds / 1000.0;
    end->intermediate = end->now + (intermediate < milliseconds ? intermediate : milliseconds) / 1000.0;
}

static int get_timer(void *context)
{
    struct end *end = context;
    if (!end->timer_runs)
        return -1;
    return (end->now >= end->intermediate) + (end->now >= end->final);
}

/* In WebRTC only the fingerprint is checked, not names, dates and issuers (RFC 8122 section 6.2). This flag makes
   Mbed TLS send bad_certificate, as that section requires. */
static int verify(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct end *end = context;
    unsigned char digest[DIGEST];
    (void) depth;
    *flags = 0;
    if (!end->pinned)
        return 0;
    int error = mbedtls_sha256_ret(certificate->raw.p, certificate->raw.len, digest, 0);
    if (error == 0 && memcmp(digest, end->peer_sha256, DIGEST) != 0)
        *flags = MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return error;
}

static int keep_keys(void *context, const unsigned char *master_secret, const unsigned char *key_block,
                     size_t mac_length, size_t key_length, size_t iv_length,
                     const unsigned char client_random[RANDOM], const unsigned char server_random[RANDOM],
                     mbedtls_tls_prf_types prf)
{
    struct end *end = context;
    (void) key_block, (void) mac_length, (void) key_length, (void) iv_length;
    end->prf = prf;
    memcpy(end->master_secret, master_secret, MASTER_SECRET);
    memcpy(end->randoms, client_random, RANDOM);
    memcpy(end->randoms + RANDOM, server_random, RANDOM);
    return 0;
}

static int copy_lists(struct end *end, const struct options *options)
{
    size_t i;
    for (i = 0; options->suites[i] != 0 && i < MAX_LIST - 1; i++)
        end->suites[i] = options->suites[i];
    for (i = 0; options->groups[i] != 0 && i < MAX_LIST - 1; i++) {
        const mbedtls_ecp_curve_info *curve = mbedtls_ecp_curve_info_from_tls_id((uint16_t) options->groups[i]);
        if (curve == NULL)
            return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
        end->groups[i] = curve->grp_id;
    }
    for (i = 0; options->profiles[i] != 0 && i < MAX_LIST - 1; i++)
        end->profiles[i] = (mbedtls_ssl_srtp_profile) options->profiles[i];
    return 0; /* the memory was zeroed, so the lists are terminated */
}

#define TRY(call) do { int error = (call); if (error != 0) return error; } while (0)

static int configure(struct end *end, const struct options *options)
{
    mbedtls_ssl_config *config = &end->config;
    TRY(mbedtls_ssl_config_defaults(config, options->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_handshake_timeout(config, FIRST_TIMEOUT, INT32_MAX);
    mbedtls_ssl_conf_rng(config, mbedtls_hmac_drbg_random, &end->random);
    mbedtls_ssl_conf_export_keys_ext_cb(config, keep_keys, end);
    mbedtls_ssl_conf_extended_master_secret(config, (char) options->extended_master_secret);
    int asks = options->ask_certificate || !options->server;
    mbedtls_ssl_conf_authmode(config, asks ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_verify(config, verify, end);
    /* Without an authority `verify` is not called. A server names it in its CertificateRequest. */
    mbedtls_ssl_conf_ca_chain(config, &end->certificate, NULL);
    TRY(mbedtls_ssl_conf_own_cert(config, &end->certificate, &end->key));
    TRY(copy_lists(end, options));
    if (end->suites[0] != 0)
        mbedtls_ssl_conf_ciphersuites(config, end->suites);
    mbedtls_ssl_conf_curves(config, end->groups);
    if (end->profiles[0] != 0)
        TRY(mbedtls_ssl_conf_dtls_srtp_protection_profiles(config, end->profiles));
    if (options->cookies) {
        TRY(mbedtls_ssl_cookie_setup(&end->cookies, mbedtls_hmac_drbg_random, &end->random));
        mbedtls_ssl_conf_dtls_cookies(config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check,
                                      &end->cookies);
    } else {
        mbedtls_ssl_conf_dtls_cookies(config, NULL, NULL, NULL);
    }
    return 0;
}

static int name_client(struct end *end)
{
    static const unsigned char name[] = "the only client";
    if (end->config.endpoint != MBEDTLS_SSL_IS_SERVER)
        return 0;
    return mbedtls_ssl_set_client_transport_id(&end->ssl, name, sizeof name);
}

static int set_up(struct end *end, const struct options *options)
{
    TRY(mbedtls_hmac_drbg_seed_buf(&end->random, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), options->seed,
                                   options->seed_length));
    TRY(mbedtls_x509_crt_parse_der(&end->certificate, options->certificate, options->certificate_length));
    TRY(mbedtls_pk_parse_key(&end->key, options->key, options->key_length, NULL, 0));
    end->pinned = options->peer_sha256 != NULL;
    if (end->pinned)
        memcpy(end->peer_sha256, options->peer_sha256, DIGEST);
    TRY(configure(end, options));
    TRY(mbedtls_ssl_setup(&end->ssl, &end->config));
    mbedtls_ssl_set_bio(&end->ssl, end, send_datagram, receive_datagram, NULL);
    mbedtls_ssl_set_timer_cb(&end->ssl, end, set_timer, get_timer);
    mbedtls_ssl_set_mtu(&end->ssl, (uint16_t) options->mtu);
    return name_client(end);
}

/* What Python calls. Results below 0 are Mbed TLS's errors. */

void end_free(struct end *end)
{
    mbedtls_ssl_free(&end->ssl);
    mbedtls_ssl_config_free(&end->config);
    mbedtls_ssl_cookie_free(&end->cookies);
    mbedtls_x509_crt_free(&end->certificate);
    mbedtls_pk_free(&end->key);
    mbedtls_hmac_drbg_free(&end->random);
    free(end);
}

struct end *end_new(const struct options *options, int *error)
{
    struct end *end = calloc(1, sizeof *end);
    if (end == NULL)
        abort();
    mbedtls_ssl_init(&end->ssl);
    mbedtls_ssl_config_init(&end->config);
    mbedtls_ssl_cookie_init(&end->cookies);
    mbedtls_x509_crt_init(&end->certificate);
    mbedtls_pk_init(&end->key);
    mbedtls_hmac_drbg_init(&end->random);
    *error = set_up(end, options);
    return end;
}

void end_set_now(struct end *end, double now)
{
    end->now = now;
}

/* Set the datagram to read next; one at a time. */
int end_put(struct end *end, const unsigned char *data, size_t length)
{
    if (end->input_length != 0 || length > MAX_DATAGRAM)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    memcpy(end->input, data, length);
    end->input_length = length;
    return 0;
}

/* Whether the datagram is still unread: an expired timer is handled first. */
int end_has_input(const struct end *end)
{
    return end->input_length != 0;
}

/* Continue the handshake: returns 0 when it is complete. */
int end_handshake(struct end *end)
{
    int result = mbedtls_ssl_handshake(&end->ssl);
    if (result == 0) {
        /* Without a function to check cookies it ignores a late copy of the ClientHello. With one, it would start
           a new connection for the copy, and drop this one. */
        mbedtls_ssl_conf_dtls_cookies(&end->config, NULL, NULL, NULL);
    }
    if (result != MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED)
        return result;
    /* A cookie was sent. The server must reset the session and wait for a ClientHello with the cookie. */
    TRY(mbedtls_ssl_session_reset(&end->ssl));
    TRY(name_client(end));
    return MBEDTLS_ERR_SSL_WANT_READ;
}

int end_read(struct end *end, unsigned char *buffer, size_t size)
{
    return mbedtls_ssl_read(&end->ssl, buffer, size);
}

int end_write(struct end *end, const unsigned char *data, size_t length)
{
    return mbedtls_ssl_write(&end->ssl, data, length);
}

int end_close(struct end *end)
{
    return mbedtls_ssl_close_notify(&end->ssl);
}

int end_send_alert(struct end *end, int level, int description)
{
    return mbedtls_ssl_send_alert_message(&end->ssl, (unsigned char) level, (unsigned char) description);
}

/* The description of the alert that the last call has read. */
int end_received_alert(const struct end *end)
{
    return end->ssl.in_msg[1];
}

/* Return the output since the last call, at most MAX_OUTPUT bytes. */
size_t end_take(struct end *end, unsigned char *buffer)
{
    size_t length = end->output_length;
    memcpy(buffer, end->output, length);
    end->output_length = 0;
    return length;
}

/* The time at which the timer expires, or a number below 0. */
double end_deadline(const struct end *end)
{
    return end->timer_runs ? end->final : -1.0;
}

int end_profile(const struct end *end)
{
    mbedtls_dtls_srtp_info info;
    mbedtls_ssl_get_dtls_srtp_negotiation_result(&end->ssl, &info);
    return info.chosen_dtls_srtp_profile;
}

/* Copy the peer's certificate (DER) and return its length. */
size_t end_peer_certificate(const struct end *end, unsigned char *buffer, size_t size)
{
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&end->ssl);
    if (certificate == NULL || certificate->raw.len > size)
        return 0;
    memcpy(buffer, certificate->raw.p, certificate->raw.len);
    return certificate->raw.len;
}

/* Export keying material (RFC 5705) without a context. */
int end_export(const struct end *end, const char *label, unsigned char *buffer, size_t length)
{
    return mbedtls_ssl_tls_prf(end->prf, end->master_secret, MASTER_SECRET, label, end->randoms,
                               sizeof end->randoms, buffer, length);
}
