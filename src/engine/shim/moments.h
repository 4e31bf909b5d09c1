// AdamW on moments that are kept in bfloat16.
#pragma once

#include <cstdint>

// One update of n numbers. The moments are bfloat16, rounded to nearest; everything is computed in float32. decay is
// 1 - lr wd, size lr / (1 - beta1^step), root 1 / sqrt(1 - beta2^step).
void half_moments_update(float *p, const float *g, uint16_t *m, uint16_t *v, int64_t n, float decay, float beta1,
                         float beta2, float size, float root, float eps);
