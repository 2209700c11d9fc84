// Module is Keyward as a dynamic module of Envoy: a shared library whose filter
// checks requests within Envoy's process. filter.c has the hooks that Envoy calls,
// and this file is their Go half. Every function that C calls recovers from panics:
// otherwise a panic would end Envoy.
package main

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Werror
// #include "filter.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"runtime/cgo"
	"unsafe"

	"keyward/authz"
	"keyward/extauthz"
)

// version is set by the linker.
var version = "unknown"

func main() {} // is required of a shared library, and not called

// filter is a filter of Envoy's configuration.
type filter struct {
	module   *extauthz.Module
	instance *instance
}

// keyward_configure starts what the filter needs, or joins it. It reports whether
// the configuration is good; the reason that it is not is in Envoy's log.
//
//export keyward_configure
func keyward_configure(config *C.filter_config, text C.buffer, workers C.uint32_t, validating C.bool) (ok C.bool) {
	defer recovered("configure")
	injectFault("configure")
	settings, err := parseSettings(copied(text))
	if err == nil && bool(validating) {
		_, err = settings.load()
		return C.bool(logged(err))
	}
	var f filter
	if err == nil {
		reserveProcs(int(workers))
		f.instance, err = instances.open(settings)
	}
	if !logged(err) {
		return false
	}
	f.module, err = extauthz.NewModule(extauthz.ModuleConfig{
		Handler: f.instance.server.Handler, DenyUndecided: settings.deny, QuietAllow: settings.quiet,
	})
	if !logged(err) {
		instances.close(f.instance)
		return false
	}
	config.deny = C.bool(settings.deny)
	config.instance = C.uintptr_t(cgo.NewHandle(&f))
	nameReasons(config)
	return true
}

// nameReasons gives the reasons the numbers by which they are counted.
func nameReasons(config *C.filter_config) {
	name := func(number uint32, name string) {
		C.set_reason(config, C.uint32_t(number), (*C.char)(unsafe.Pointer(unsafe.StringData(name))), C.size_t(len(name)))
	}
	name(0, "undecided")
	for _, reason := range authz.Reasons() {
		name(numberOf(reason), reason.String())
	}
}

func numberOf(reason authz.Reason) uint32 { return uint32(reason) + 1 }

// reserveProcs gives the Go code a processor for each of Envoy's workers, which keeps
// it while it is outside of Go, and two for what runs in the background.
func reserveProcs(workers int) {
	if wanted := workers + 2; os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < wanted {
		runtime.GOMAXPROCS(wanted)
	}
}

// keyward_close ends what keyward_configure started, once no other filter uses it.
//
//export keyward_close
func keyward_close(handle C.uintptr_t) {
	defer recovered("close")
	injectFault("close")
	if handle == 0 {
		return // Envoy only validated its configuration
	}
	h := cgo.Handle(handle)
	f := h.Value().(*filter)
	h.Delete()
	f.module.Close()
	instances.close(f.instance)
}

// keyward_route returns the configuration of a route; nil if it is not valid.
//
//export keyward_route
func keyward_route(text C.buffer) (route *C.route_config) {
	defer recovered("route")
	injectFault("route")
	name, err := parseRoute(copied(text))
	if !logged(err) {
		return nil
	}
	return C.new_route((*C.char)(unsafe.Pointer(unsafe.StringData(name))), C.size_t(len(name)))
}

// keyward_check decides a request. After a panic it is undecided.
//
//export keyward_check
func keyward_check(handle C.uintptr_t, call *C.check_call) (verdict C.int) {
	defer recovered("check")
	injectFault("check")
	if call.yield {
		runtime.Gosched()
	}
	f := cgo.Handle(handle).Value().(*filter)
	r := f.module.Request()
	headers := unsafe.Slice(call.headers, call.header_count)
	size := call.peer.length + call.route.length
	for i := range headers {
		size += headers[i].name.length + headers[i].value.length
	}
	// One copy of all: the strings of a request may be kept, and Envoy's memory is
	// not valid for long.
	text := make([]byte, 0, size)
	keep := func(b C.buffer) string {
		start := len(text)
		text = append(text, unsafe.Slice((*byte)(unsafe.Pointer(b.ptr)), b.length)...)
		return unsafe.String(unsafe.SliceData(text[start:]), len(text)-start)
	}
	r.Peer, r.RouteName = keep(call.peer), keep(call.route)
	for i := range headers {
		if !f.module.AddHeader(r, keep(headers[i].name), keep(headers[i].value)) {
			return C.int(extauthz.VerdictUndecided)
		}
	}
	answer := f.module.Check(r, unsafe.Slice((*byte)(unsafe.Pointer(call.changes)), call.capacity))
	call.reason = C.uint32_t(numberOf(answer.Reason))
	call.status, call.length = C.uint32_t(answer.Status), C.size_t(len(answer.Changes))
	if len(answer.Changes) > int(call.capacity) { // then they are in Go's memory
		capacity := C.size_t(2 * len(answer.Changes))
		larger := C.resize(call.changes, capacity)
		if larger == nil {
			return C.int(extauthz.VerdictUndecided)
		}
		call.changes, call.capacity = larger, capacity
		copy(unsafe.Slice((*byte)(unsafe.Pointer(call.changes)), call.capacity), answer.Changes)
	}
	return C.int(answer.Verdict)
}

// copied returns a text of Envoy's in Go's memory.
func copied(b C.buffer) []byte { return C.GoBytes(unsafe.Pointer(b.ptr), C.int(b.length)) }

// recovered ends a panic. The function that has deferred it then returns the zero
// value, which refuses.
func recovered(function string) {
	if v := recover(); v != nil {
		logError(fmt.Sprintf("panic in keyward_%s: %v", function, v))
	}
}

// logged reports whether err is nil, and otherwise writes it to Envoy's log.
func logged(err error) bool {
	if err != nil {
		logError(err.Error())
	}
	return err == nil
}

func logError(line string) {
	line = "keyward: " + line
	C.envoy_log((*C.char)(unsafe.Pointer(unsafe.StringData(line))), C.size_t(len(line)))
}
