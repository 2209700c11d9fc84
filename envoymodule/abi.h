// What Keyward uses of the ABI of Envoy's dynamic modules: Envoy 1.40,
// source/extensions/dynamic_modules/abi/abi.h. The names and the layouts are
// Envoy's. The declarations are our own, since Envoy's SDK for Go is not published as
// a Go module.
#ifndef KEYWARD_ABI_H
#define KEYWARD_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ABI_VERSION is the version that Envoy 1.40 has. Envoy warns of a module with
// another one, and runs it.
#ifndef ABI_VERSION
#define ABI_VERSION "v0.2.0"
#endif

// buffer is a text of Envoy or of the module. Its owner keeps it: Envoy's are valid
// until the hook returns or a header is changed, the module's until the callback
// returns.
typedef struct {
  const char *ptr;
  size_t length;
} buffer;

// pair is a header line, or a field of the dynamic metadata.
typedef struct {
  buffer name;
  buffer value;
} pair;

enum header_type { request_header = 0, response_header = 2 };
enum log_level { log_error = 4 };

// What a hook returns.
enum headers_status { headers_continue = 0, headers_stop_iteration = 1 };
enum { body_continue = 0, trailers_continue = 0, local_reply_continue = 0 };

// ENVOY declares a function of Envoy. The symbol is weak, so that an Envoy without it
// loads the module, which then finds NULL and refuses to start. Otherwise the first
// call would end Envoy.
#define ENVOY(result, name, ...) extern __attribute__((weak)) result envoy_dynamic_module_callback_##name(__VA_ARGS__)

ENVOY(void, log, int level, buffer message);
ENVOY(bool, is_validation_mode, void);
ENVOY(uint32_t, get_concurrency, void);
ENVOY(int, http_filter_config_define_counter, void *config, buffer name, buffer *labels, size_t labels_size, size_t *id);
ENVOY(uint32_t, http_filter_get_worker_index, void *filter);
ENVOY(int, http_filter_increment_counter, void *filter, size_t id, buffer *values, size_t values_size, uint64_t by);
ENVOY(const void *, get_most_specific_route_config, void *filter);
ENVOY(size_t, http_get_headers_size, void *filter, int type);
ENVOY(bool, http_get_headers, void *filter, int type, pair *headers);
ENVOY(bool, http_get_downstream_direct_remote_address, void *filter, buffer *address);
ENVOY(bool, http_add_header, void *filter, int type, buffer name, buffer value);
// A value that is NULL removes the header.
ENVOY(bool, http_set_header, void *filter, int type, buffer name, buffer value);
ENVOY(void, http_send_response, void *filter, uint32_t status, pair *headers, size_t headers_size, buffer body, buffer details);
ENVOY(void, http_set_dynamic_metadata_string_batch, void *filter, buffer ns, const pair *fields, size_t fields_size);

#endif
