// A piece of the model that autograd sees as one node: its inside is a graph of its own, made in forward and kept, or
// made again in backward. Between the two its parameters need not be here.
#pragma once

#include "guarded.h"

extern "C" {
// What a segment computes: out gets a new tensor; a message (made by cc_message) says what failed.
typedef char *(*cc_compute)(void *closure, tensor *inputs, size_t n, tensor *out);

char *cc_message(const char *text);

// Computes closure(inputs). shards may be null; else the unit is gathered while the segment computes, and its gradients
// are summed when they are complete. again: nothing of the inside is kept, backward computes it once more.
// drop is called on the closure when nobody needs it any more.
char *cc_segment(tensor *inputs, size_t n, cc_compute compute, void (*drop)(void *), void *closure, void *shards,
                 size_t unit, int again, tensor *out);
}
