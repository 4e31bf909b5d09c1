#pragma once

#include "shim.h"

extern "C" {
// The numbers of one update.
struct cc_adamw {
  double lr, beta1, beta2, weight_decay, eps;
};

// Updates n parameters in place by their gradients; moments are float32 or bfloat16. found_inf (may be null) is a
// float32 scalar: where it is not zero, nothing changes.
char *cc_adamw_step(tensor *parameters, tensor *gradients, tensor *exp_avgs, tensor *exp_avg_sqs, tensor *steps,
                    size_t n, const cc_adamw *by, tensor found_inf);

// Updates while backward runs, over n leaves.
char *cc_early_new(tensor *parameters, tensor *exp_avgs, tensor *exp_avg_sqs, tensor *steps, size_t n, void **out);
// The next backward updates each parameter, unless the loss or its gradient is not finite. lr and weight_decay have n
// numbers; those of `by` do not count.
char *cc_early_arm(void *early, const double *lr, const double *weight_decay, const cc_adamw *by, tensor loss);
// After backward: the norm of all gradients, a float32 scalar.
char *cc_early_finish(void *early, tensor *norm);
void cc_early_free(void *early);
}
