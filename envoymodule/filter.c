// The hooks that Envoy calls. One call of Go decides a request; what Envoy is to
// change is applied here, since each call between C and Go costs more than a header.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "_cgo_export.h"

#define TEXT(literal) ((buffer){literal, sizeof(literal) - 1})
#define HOOK(name) envoy_dynamic_module_on_##name
#define CALLBACK(name) envoy_dynamic_module_callback_##name

// The verdicts and the kinds of changes, as in extauthz/module.go.
enum { undecided, allow, deny };
enum { change_set, change_remove, change_response, change_metadata, change_body, change_add };

// The bounds of what is given to Envoy in one call. An answer that exceeds one is
// invalid, and lets nothing in.
enum { max_fields = 8, max_denial_headers = 32, headers_on_stack = 64 };

// stream is a request that passes the filter.
typedef struct {
  filter_config *config;
  tally *worker;
  int64_t at;     // when the request came, in milliseconds
  char *response; // changes of the response's headers, of those that the answer has
  size_t response_length;
} stream;

const char *HOOK(program_init)(void) {
  const struct {
    const char *name;
    void *address;
  } needed[] = {
#define NEEDED(name) {#name, (void *)CALLBACK(name)}
      NEEDED(log), NEEDED(is_validation_mode), NEEDED(get_concurrency), NEEDED(http_filter_config_define_counter), NEEDED(http_filter_increment_counter),
      NEEDED(http_filter_get_worker_index),
      NEEDED(get_most_specific_route_config), NEEDED(http_get_headers_size), NEEDED(http_get_headers),
      NEEDED(http_get_downstream_direct_remote_address), NEEDED(http_set_header), NEEDED(http_add_header), NEEDED(http_send_response),
      NEEDED(http_set_dynamic_metadata_string_batch)};
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
    if (needed[i].address == NULL) {
      fprintf(stderr, "keyward: this Envoy lacks %s; the module is for Envoy 1.40\n", needed[i].name);
      return NULL;
    }
  }
  return ABI_VERSION;
}

const void *HOOK(http_filter_config_new)(void *envoy, buffer name, buffer text) {
  (void)name;
  filter_config *config = calloc(1, sizeof *config);
  if (config == NULL) {
    return NULL;
  }
  config->workers = CALLBACK(get_concurrency)();
  config->tallies = calloc(config->workers, sizeof *config->tallies);
  if (config->tallies == NULL || !keyward_configure(config, text, config->workers, CALLBACK(is_validation_mode)())) {
    free(config->tallies);
    free(config);
    return NULL;
  }
  buffer labels[] = {TEXT("by"), TEXT("reason")};
  config->counting = CALLBACK(http_filter_config_define_counter)(envoy, TEXT("decided_total"), labels, 2, &config->decided_total) == 0;
  return config;
}

void HOOK(http_filter_config_destroy)(const void *module) {
  filter_config *config = (filter_config *)module;
  keyward_close(config->instance);
  for (uint32_t i = 0; i < max_reasons; i++) {
    free((void *)config->reasons[i].ptr);
  }
  free(config->tallies);
  free(config);
}

const void *HOOK(http_filter_per_route_config_new)(buffer name, buffer text) {
  (void)name;
  return keyward_route(text);
}

void HOOK(http_filter_per_route_config_destroy)(const void *module) { free((void *)module); }

const void *HOOK(http_filter_new)(const void *module, void *envoy) {
  filter_config *config = (filter_config *)module;
  stream *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return NULL; // which ends the request
  }
  s->config = config;
  uint32_t worker = CALLBACK(http_filter_get_worker_index)(envoy);
  if (worker < config->workers) { // Envoy's admin interface has none
    s->worker = &config->tallies[worker];
    s->worker->streams++;
  }
  return s;
}

void HOOK(http_filter_destroy)(const void *module) {
  stream *s = (stream *)module;
  if (s->worker != NULL) {
    s->worker->streams--;
  }
  free(s->response);
  free(s);
}

void envoy_log(const char *text, size_t length) { CALLBACK(log)(log_error, (buffer){text, length}); }

route_config *new_route(const char *name, size_t length) {
  route_config *route = malloc(sizeof *route + length);
  if (route != NULL) {
    route->length = length;
    memcpy(route->name, name, length);
  }
  return route;
}

void set_reason(filter_config *config, uint32_t number, const char *name, size_t length) {
  char *copy = number < max_reasons ? malloc(length) : NULL;
  if (copy != NULL) {
    memcpy(copy, name, length);
    config->reasons[number] = (buffer){copy, length};
  }
}

char *resize(char *old, size_t size) { return realloc(old, size); }

// changes_reader iterates over the changes of an answer.
typedef struct {
  const char *at, *end;
  int kind;
  pair change;
  bool valid;
} changes_reader;

static size_t length_at(const char *at) {
  const unsigned char *b = (const unsigned char *)at;
  return (size_t)b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;
}

static bool next_change(changes_reader *r) {
  if (r->at == r->end) {
    return false;
  }
  if (r->end - r->at >= 9) {
    size_t name = length_at(r->at + 1), value = length_at(r->at + 5);
    const char *text = r->at + 9;
    if (name + value <= (size_t)(r->end - text)) {
      r->kind = (unsigned char)*r->at;
      r->change = (pair){{text, name}, {text + name, value}};
      r->at = text + name + value;
      return true;
    }
  }
  r->valid = false;
  return false;
}

// metadata_fields are what the module writes into the dynamic metadata.
typedef struct {
  pair fields[max_fields];
  size_t count;
} metadata_fields;

static bool add_field(metadata_fields *m, pair field) {
  if (m->count == max_fields) {
    return false;
  }
  m->fields[m->count++] = field;
  return true;
}

static void write_metadata(void *envoy, const metadata_fields *m) {
  if (m->count > 0) {
    CALLBACK(http_set_dynamic_metadata_string_batch)(envoy, TEXT("keyward"), m->fields, m->count);
  }
}

// milliseconds returns the time of a clock that does not go back.
static int64_t milliseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// count_interval is how long decisions wait to be counted together, in milliseconds.
enum { count_interval = 5 };

// publish counts what the worker has decided in Envoy's statistics.
static void publish(const filter_config *config, tally *t, void *envoy) {
  static const buffer by[deciders] = {[by_module] = TEXT("module"), [by_ext_authz] = TEXT("ext_authz"), [by_none] = TEXT("none")};
  for (int d = 0; d < deciders; d++) {
    for (uint32_t reason = 0; reason < max_reasons; reason++) {
      if (t->decided[d][reason] > 0) {
        buffer values[] = {by[d], config->reasons[reason]};
        CALLBACK(http_filter_increment_counter)(envoy, config->decided_total, values, 2, t->decided[d][reason]);
        t->decided[d][reason] = 0;
      }
    }
  }
  t->pending = false;
}

// count counts a decision, with others of the next few milliseconds.
static void count(const stream *s, void *envoy, enum decider by, uint32_t reason) {
  tally *t = s->worker;
  if (t == NULL || !s->config->counting) {
    return;
  }
  t->decided[by][reason < max_reasons ? reason : 0]++;
  t->pending = true;
  if (s->at - t->counted_at >= count_interval) {
    publish(s->config, t, envoy);
    t->counted_at = s->at;
  }
}

void HOOK(http_filter_stream_complete)(void *envoy, const void *module) {
  const stream *s = module;
  if (s->worker != NULL && s->worker->pending && s->worker->streams == 1) { // the next request may not come
    publish(s->config, s->worker, envoy);
  }
}

// keep_response keeps a change of the response until its headers come.
static bool keep_response(stream *s, const char *from, const char *to) {
  size_t more = (size_t)(to - from);
  char *longer = realloc(s->response, s->response_length + more);
  if (longer == NULL) {
    return false;
  }
  memcpy(longer + s->response_length, from, more);
  s->response = longer;
  s->response_length += more;
  return true;
}

// allow_request changes the request as the answer says. It returns false if that
// failed: the request must then not pass.
static bool allow_request(stream *s, void *envoy, const check_call *call, metadata_fields *metadata) {
  changes_reader r = {.at = call->changes, .end = call->changes + call->length, .valid = true};
  for (const char *from = r.at; r.valid && next_change(&r); from = r.at) {
    switch (r.kind) {
    case change_set:
      r.valid = CALLBACK(http_set_header)(envoy, request_header, r.change.name, r.change.value);
      break;
    case change_add:
      r.valid = CALLBACK(http_add_header)(envoy, request_header, r.change.name, r.change.value);
      break;
    case change_remove:
      r.valid = CALLBACK(http_set_header)(envoy, request_header, r.change.name, (buffer){NULL, 0});
      break;
    case change_response:
      r.valid = keep_response(s, from, r.at);
      break;
    case change_metadata:
      r.valid = add_field(metadata, r.change);
      break;
    default:
      r.valid = false;
    }
  }
  return r.valid;
}

// deny_request responds as the answer says. It returns false if the answer is invalid.
// The stream must not be used afterwards: the response may have ended it.
static bool deny_request(const stream *s, void *envoy, const check_call *call) {
  metadata_fields metadata = {.count = 0};
  pair headers[max_denial_headers];
  size_t header_count = 0;
  buffer body = {NULL, 0};
  changes_reader r = {.at = call->changes, .end = call->changes + call->length, .valid = true};
  while (r.valid && next_change(&r)) {
    switch (r.kind) {
    case change_set:
      r.valid = header_count < max_denial_headers;
      if (r.valid) {
        headers[header_count++] = r.change;
      }
      break;
    case change_body:
      body = r.change.value;
      break;
    case change_metadata:
      r.valid = add_field(&metadata, r.change);
      break;
    default:
      r.valid = false;
    }
  }
  if (r.valid) {
    write_metadata(envoy, &metadata);
    count(s, envoy, call->status == 503 ? by_none : by_module, call->reason);
    CALLBACK(http_send_response)(envoy, call->status, headers, header_count, body, TEXT("keyward_denied"));
  }
  return r.valid;
}

// fail denies a request for which there is no answer, or an invalid one. The stream must
// not be used afterwards.
static void fail(const stream *s, void *envoy) {
  count(s, envoy, by_none, 0);
  // Without grpc-status, gRPC clients would get 0, which is OK. 14 is UNAVAILABLE.
  pair headers[] = {{TEXT("cache-control"), TEXT("no-store")},
                    {TEXT("content-type"), TEXT("application/problem+json")},
                    {TEXT("grpc-status"), TEXT("14")}};
  CALLBACK(http_send_response)
  (envoy, 503, headers, sizeof headers / sizeof *headers,
   TEXT("{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
        "\"detail\":\"The request could not be authenticated at this time\",\"reason\":\"internal\"}\n"),
   TEXT("keyward_failed"));
}

// yield_interval is in milliseconds. After 10 ms without its scheduler, Go takes the
// processor (its P) from the thread, and does so again and again: a call from C does
// not run the scheduler. Each call then waits for a processor.
enum { yield_interval = 8 };

// must_yield reports whether the interval is over on this thread.
static bool must_yield(int64_t now) {
  static __thread int64_t last;
  if (now - last < yield_interval) {
    return false;
  }
  last = now;
  return true;
}

// decide asks Go about the request.
static int decide(const stream *s, void *envoy, check_call *call) {
  pair on_stack[headers_on_stack];
  size_t header_count = CALLBACK(http_get_headers_size)(envoy, request_header);
  pair *headers = header_count <= headers_on_stack ? on_stack : calloc(header_count, sizeof *headers);
  int verdict = undecided;
  if (headers != NULL && CALLBACK(http_get_headers)(envoy, request_header, headers)) {
    call->headers = headers;
    call->header_count = header_count;
    call->yield = must_yield(s->at);
    CALLBACK(http_get_downstream_direct_remote_address)(envoy, &call->peer);
    const route_config *route = CALLBACK(get_most_specific_route_config)(envoy);
    if (route != NULL) {
      call->route = (buffer){route->name, route->length};
    }
    verdict = keyward_check(s->config->instance, call);
  }
  if (headers != on_stack) {
    free(headers);
  }
  return verdict;
}

int HOOK(http_filter_request_headers)(void *envoy, const void *module, bool end_of_stream) {
  (void)end_of_stream;
  static __thread char *changes;
  static __thread size_t capacity;
  stream *s = (stream *)module;
  s->at = milliseconds();
  check_call call = {.changes = changes, .capacity = capacity};
  metadata_fields metadata = {.count = 0};
  int verdict = decide(s, envoy, &call);
  changes = call.changes;
  capacity = call.capacity;
  switch (verdict) {
  case allow:
    if (allow_request(s, envoy, &call, &metadata)) {
      write_metadata(envoy, &metadata);
      count(s, envoy, by_module, call.reason);
      return headers_continue;
    }
    break; // the headers are changed in part, so that ext_authz must not see them
  case deny:
    if (deny_request(s, envoy, &call)) {
      return headers_stop_iteration;
    }
    break;
  default:
    if (!s->config->deny) {
      metadata.fields[metadata.count++] = (pair){TEXT("verdict"), TEXT("undecided")};
      write_metadata(envoy, &metadata);
      count(s, envoy, by_ext_authz, 0);
      return headers_continue;
    }
  }
  fail(s, envoy);
  return headers_stop_iteration;
}

int HOOK(http_filter_response_headers)(void *envoy, const void *module, bool end_of_stream) {
  (void)end_of_stream;
  const stream *s = module;
  changes_reader r = {.at = s->response, .end = s->response + s->response_length, .valid = true};
  while (s->response != NULL && next_change(&r)) {
    CALLBACK(http_set_header)(envoy, response_header, r.change.name, r.change.value);
  }
  return headers_continue;
}

// The filter has nothing to do in the hooks below. Envoy wants most of them.

int HOOK(http_filter_request_body)(void *envoy, const void *module, bool end_of_stream) {
  (void)envoy, (void)module, (void)end_of_stream;
  return body_continue;
}

int HOOK(http_filter_request_trailers)(void *envoy, const void *module) {
  (void)envoy, (void)module;
  return trailers_continue;
}

int HOOK(http_filter_response_body)(void *envoy, const void *module, bool end_of_stream) {
  (void)envoy, (void)module, (void)end_of_stream;
  return body_continue;
}

int HOOK(http_filter_response_trailers)(void *envoy, const void *module) {
  (void)envoy, (void)module;
  return trailers_continue;
}

void HOOK(http_filter_http_callout_done)(void *envoy, const void *module, uint64_t id, int result, void *headers, size_t header_count,
                                         void *chunks, size_t chunk_count) {
  (void)envoy, (void)module, (void)id, (void)result, (void)headers, (void)header_count, (void)chunks, (void)chunk_count;
}

void HOOK(http_filter_http_stream_headers)(void *envoy, const void *module, uint64_t id, void *headers, size_t header_count, bool end) {
  (void)envoy, (void)module, (void)id, (void)headers, (void)header_count, (void)end;
}

void HOOK(http_filter_http_stream_data)(void *envoy, const void *module, uint64_t id, const buffer *data, size_t count, bool end) {
  (void)envoy, (void)module, (void)id, (void)data, (void)count, (void)end;
}

void HOOK(http_filter_http_stream_trailers)(void *envoy, const void *module, uint64_t id, void *trailers, size_t trailer_count) {
  (void)envoy, (void)module, (void)id, (void)trailers, (void)trailer_count;
}

void HOOK(http_filter_http_stream_complete)(void *envoy, const void *module, uint64_t id) { (void)envoy, (void)module, (void)id; }

void HOOK(http_filter_http_stream_reset)(void *envoy, const void *module, uint64_t id, int reason) {
  (void)envoy, (void)module, (void)id, (void)reason;
}

void HOOK(http_filter_scheduled)(void *envoy, const void *module, uint64_t event) { (void)envoy, (void)module, (void)event; }

void HOOK(http_filter_downstream_above_write_buffer_high_watermark)(void *envoy, const void *module) { (void)envoy, (void)module; }

void HOOK(http_filter_downstream_below_write_buffer_low_watermark)(void *envoy, const void *module) { (void)envoy, (void)module; }

int HOOK(http_filter_local_reply)(void *envoy, const void *module, uint32_t status, buffer details, bool reset) {
  (void)envoy, (void)module, (void)status, (void)details, (void)reset;
  return local_reply_continue;
}
