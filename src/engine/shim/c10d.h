// Collectives between the ranks of a run, by libtorch's own c10d. Every function that can fail returns null, or a
// message to be freed by cc_free_message.
#pragma once

#include "shim.h"

extern "C" {
// A store at host:port. A server takes over listen_fd, a socket that listens already.
char *cc_store_new(const char *host, uint16_t port, int listen_fd, int64_t timeout_ms, void **out);
void cc_store_free(void *store);
// The same store seen through keys that begin with prefix.
char *cc_store_under(void *store, const char *prefix, void **out);
char *cc_store_set(void *store, const char *key, const uint8_t *bytes, size_t n);
// A value to be given to cc_store_forget; null while there is none.
char *cc_store_get(void *store, const char *key, uint8_t **out, size_t *n);
void cc_store_forget(uint8_t *value);

// A Gloo group whose ranks meet in the store under prefix, over the interface that host names.
char *cc_group_new(void *store, const char *prefix, const char *host, int rank, int size, int64_t timeout_ms,
                   void **out);
void cc_group_free(void *group);

// Nanoseconds that this process has waited for other ranks so far.
int64_t cc_waited_ns();

// From one rank to one other, both of which call it.
char *cc_send(void *group, tensor t, int to);
char *cc_receive(void *group, tensor t, int from);

char *cc_all_reduce(void *group, tensor t, int op);
// timeout_ms below 0: the group's.
char *cc_broadcast(void *group, tensor t, int root, int64_t timeout_ms);
char *cc_all_gather(void *group, tensor out, tensor in);
char *cc_reduce_scatter(void *group, tensor out, tensor in);
char *cc_barrier(void *group);
// The same rows of all ranks one behind the other; backward sums every rank's gradient of them.
char *cc_all_gather_autograd(void *group, tensor in, tensor *out);

// The same tensor; backward sums every rank's gradient of it.
char *cc_sum_gradient(void *group, tensor in, tensor *out);
// The sum of all ranks' tensors; backward passes the gradient on.
char *cc_sum_autograd(void *group, tensor in, tensor *out);

// Sums gradients over the group in buckets of about bucket_bytes while backward still runs.
char *cc_reducer_new(void *group, void *host, tensor *parameters, size_t n, int64_t bucket_bytes, void **out);
char *cc_reducer_arm(void *reducer);
char *cc_reducer_finish(void *reducer);
void cc_reducer_free(void *reducer);
}
