// What the two halves of the module share: filter.c, which Envoy calls, and the Go
// code, which decides.
#ifndef KEYWARD_FILTER_H
#define KEYWARD_FILTER_H

#include "abi.h"

// filter_config is a filter of Envoy's configuration.
typedef struct {
  uintptr_t instance; // handle of the Go half
  bool deny;          // what is undecided is denied; otherwise it passes, and ext_authz asks
  bool counting;      // decided_total is defined
  size_t decided_total;
} filter_config;

// route_config has the Keyward route that a route of Envoy names.
typedef struct {
  size_t length;
  char name[];
} route_config;

// check_call is one request, and the answer.
typedef struct {
  const pair *headers;
  size_t header_count;
  buffer peer;
  buffer route;
  bool yield; // Go's scheduler is to run

  uint32_t status; // of a denial
  // The changes, as extauthz.Answer has them, in memory of the thread. Go makes it
  // larger if need be.
  char *changes;
  size_t length;
  size_t capacity;
} check_call;

// envoy_log writes a line to Envoy's log.
void envoy_log(int level, const char *text, size_t length);

// new_route returns the configuration of a route, NULL without memory.
route_config *new_route(const char *name, size_t length);

// resize returns memory of the size, with what fits of the old content.
char *resize(char *old, size_t size);

#endif
