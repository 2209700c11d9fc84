// What the two halves of the module share: filter.c, which Envoy calls, and the Go
// code, which decides.
#ifndef KEYWARD_FILTER_H
#define KEYWARD_FILTER_H

#include "abi.h"

// decider is who decides a request, for decided_total.
enum decider { by_module, by_ext_authz, by_none, deciders };

// max_reasons bounds the reasons that are counted. Number 0 is that of what is undecided.
enum { max_reasons = 64 };

// tally is what one of Envoy's workers has decided, and not yet counted in Envoy's
// statistics: a counter with labels costs half as much as the check of a key. Only the worker
// uses it.
typedef struct {
  size_t streams; // that are open
  int64_t counted_at;
  bool pending;
  uint32_t decided[deciders][max_reasons];
} tally;

// filter_config is a filter of Envoy's configuration.
typedef struct {
  uintptr_t instance; // handle of the Go half
  bool deny;          // what is undecided is denied; otherwise it passes, and ext_authz asks
  bool counting;      // decided_total is defined
  size_t decided_total;
  buffer reasons[max_reasons]; // by number, in memory of the configuration
  uint32_t workers;
  tally *tallies; // by worker
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
  uint32_t reason; // number of the decision's reason
  // The changes, as extauthz.Answer has them, in memory of the thread. Go makes it
  // larger if need be.
  char *changes;
  size_t length;
  size_t capacity;
} check_call;

// envoy_log writes an error to Envoy's log.
void envoy_log(const char *text, size_t length);

// set_reason gives a number the name of its reason.
void set_reason(filter_config *config, uint32_t number, const char *name, size_t length);

// new_route returns the configuration of a route, NULL without memory.
route_config *new_route(const char *name, size_t length);

// resize returns memory of the size, with what fits of the old content.
char *resize(char *old, size_t size);

#endif
