#include "moments.h"
#include "rows.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <cstring>

namespace {

INLINE float widen(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}

// To nearest, ties to even. What is not finite never comes here.
INLINE uint16_t narrow(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

FOR_EVERY_CPU void some(float *__restrict p, const float *__restrict g, uint16_t *__restrict m, uint16_t *__restrict v,
                        int64_t n, float decay, float beta1, float beta2, float size, float root, float eps) {
  for (int64_t i = 0; i < n; ++i) {
    const float mean = beta1 * widen(m[i]) + (1.f - beta1) * g[i];
    const float square = beta2 * widen(v[i]) + (1.f - beta2) * g[i] * g[i];
    p[i] = decay * p[i] - size * mean / (std::sqrt(square) * root + eps);
    m[i] = narrow(mean);
    v[i] = narrow(square);
  }
}

} // namespace

void half_moments_update(float *p, const float *g, uint16_t *m, uint16_t *v, int64_t n, float decay, float beta1,
                         float beta2, float size, float root, float eps) {
  at::parallel_for(0, n, 1 << 15, [&](int64_t from, int64_t to) {
    some(p + from, g + from, m + from, v + from, to - from, decay, beta1, beta2, size, root, eps);
  });
}
