// Linear layers for a few rows on a CPU. A caption is written some rows at a time, so each weight is read for
// 8 or 16 rows only, and the time is that of reading memory. libtorch's products (MKL) reach a quarter of the
// memory's speed at this shape; these loops come close to it. Compiled for three levels of x86-64, chosen
// when the program starts.
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>

namespace {

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__)
#define FOR_EVERY_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EVERY_CPU
#endif

constexpr int64_t kLanes = 16;
constexpr int kTile = 8; // rows at once: their sums stay in registers

INLINE float total(const lanes &v) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i)
    sum += v[i];
  return sum;
}

// y[r,o] = x[r,:] . w[o,:] + b[o], for R rows and outputs from..to. `in` is a multiple of the lanes.
template <int R>
INLINE void by_outputs(const float *x, const float *w, const float *b, float *y, int64_t in, int64_t out, int64_t from,
                       int64_t to) {
  int64_t o = from;
  for (; o + 2 <= to; o += 2) {
    const float *w0 = w + o * in, *w1 = w0 + in;
    lanes s0[R], s1[R];
    for (int r = 0; r < R; ++r)
      s0[r] = s1[r] = lanes{};
    for (int64_t i = 0; i < in; i += kLanes) {
      const lanes a = *(const lanes *)(w0 + i), c = *(const lanes *)(w1 + i);
      for (int r = 0; r < R; ++r) {
        const lanes v = *(const lanes *)(x + r * in + i);
        s0[r] += v * a;
        s1[r] += v * c;
      }
    }
    for (int r = 0; r < R; ++r) {
      y[r * out + o] = total(s0[r]) + (b ? b[o] : 0);
      y[r * out + o + 1] = total(s1[r]) + (b ? b[o + 1] : 0);
    }
  }
  for (; o < to; ++o)
    for (int r = 0; r < R; ++r) {
      lanes s{};
      for (int64_t i = 0; i < in; i += kLanes)
        s += *(const lanes *)(x + r * in + i) * *(const lanes *)(w + o * in + i);
      y[r * out + o] = total(s) + (b ? b[o] : 0);
    }
}

// y[r,o] = sum over i of x[r,i] p[i,o], for R rows and outputs from..to, a block of columns at a time.
template <int R>
INLINE void by_inputs(const float *x, const float *p, float *y, int64_t in, int64_t out, int64_t from, int64_t to) {
  constexpr int64_t block = 256;
  alignas(64) float sums[R * block];
  for (int64_t o = from; o < to; o += block) {
    const int64_t n = std::min(block, to - o), full = n / kLanes * kLanes;
    std::memset(sums, 0, sizeof sums);
    int64_t i = 0;
    for (; i + 4 <= in; i += 4) {
      const float *q = p + i * out + o;
      for (int r = 0; r < R; ++r) {
        const float *v = x + r * in + i;
        float *s = sums + r * block;
        for (int64_t c = 0; c < full; c += kLanes)
          *(lanes *)(s + c) += v[0] * *(const lanes *)(q + c) + v[1] * *(const lanes *)(q + out + c) +
                               v[2] * *(const lanes *)(q + 2 * out + c) + v[3] * *(const lanes *)(q + 3 * out + c);
        for (int64_t c = full; c < n; ++c)
          s[c] += v[0] * q[c] + v[1] * q[out + c] + v[2] * q[2 * out + c] + v[3] * q[3 * out + c];
      }
    }
    for (; i < in; ++i)
      for (int r = 0; r < R; ++r)
        for (int64_t c = 0; c < n; ++c)
          sums[r * block + c] += x[r * in + i] * p[i * out + o + c];
    for (int r = 0; r < R; ++r)
      std::memcpy(y + r * out + o, sums + r * block, n * sizeof(float));
  }
}

#define ROWS(CALL)                                                                                                     \
  switch (rows) {                                                                                                      \
  case 1: CALL(1); break;                                                                                              \
  case 2: CALL(2); break;                                                                                              \
  case 3: CALL(3); break;                                                                                              \
  case 4: CALL(4); break;                                                                                              \
  case 5: CALL(5); break;                                                                                              \
  case 6: CALL(6); break;                                                                                              \
  case 7: CALL(7); break;                                                                                              \
  default: CALL(8); break;                                                                                             \
  }

FOR_EVERY_CPU void outputs_tile(int64_t rows, const float *x, const float *w, const float *b, float *y, int64_t in,
                                int64_t out, int64_t from, int64_t to) {
#define CALL(R) by_outputs<R>(x, w, b, y, in, out, from, to)
  ROWS(CALL)
#undef CALL
}

FOR_EVERY_CPU void inputs_tile(int64_t rows, const float *x, const float *p, float *y, int64_t in, int64_t out,
                               int64_t from, int64_t to) {
#define CALL(R) by_inputs<R>(x, p, y, in, out, from, to)
  ROWS(CALL)
#undef CALL
}

bool plain(const at::Tensor &t) {
  return t.defined() && t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous();
}

} // namespace

// Outputs of one piece of work: for all rows the weights come from the cache but once.
constexpr int64_t kPiece = 32;

static bool few_rows(const at::Tensor &x, const at::Tensor &w, const at::Tensor *b, bool transposed, at::Tensor &y) {
  if (c10::GradMode::is_enabled() || at::autocast::is_autocast_enabled(at::kCPU) || !plain(x) || !plain(w) || (b && !plain(*b)) || w.dim() != 2 || x.dim() < 1)
    return false;
  const int64_t in = w.size(transposed ? 0 : 1), out = w.size(transposed ? 1 : 0);
  if (in == 0 || x.size(-1) != in || (b && (transposed || b->numel() != out)) || (!transposed && in % kLanes != 0))
    return false;
  const int64_t rows = x.numel() / in;
  if (rows < 1 || rows > 32)
    return false;
  auto shape = x.sizes().vec();
  shape.back() = out;
  y = at::empty(shape, x.options());
  const float *xs = x.const_data_ptr<float>(), *ws = w.const_data_ptr<float>();
  const float *bs = b ? b->const_data_ptr<float>() : nullptr;
  float *ys = y.mutable_data_ptr<float>();
  const int64_t piece = transposed ? 256 : kPiece, pieces = (out + piece - 1) / piece;
  at::parallel_for(0, pieces, 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const int64_t from = k * piece, to = std::min(out, from + piece);
      for (int64_t r = 0; r < rows; r += kTile) {
        const int64_t n = std::min<int64_t>(kTile, rows - r);
        if (transposed)
          inputs_tile(n, xs + r * in, ws, ys + r * out, in, out, from, to);
        else
          outputs_tile(n, xs + r * in, ws, bs, ys + r * out, in, out, from, to);
      }
    }
  });
  return true;
}

extern "C" char *cc_linear(tensor x, tensor weight, tensor bias, int transposed, tensor *out) {
  try {
    at::Tensor y;
    if (!few_rows(*x, *weight, bias, transposed != 0, y))
      y = transposed ? at::matmul(*x, *weight)
                     : at::linear(*x, *weight, bias ? std::optional<at::Tensor>(*bias) : std::nullopt);
    *out = new at::Tensor(std::move(y));
    return nullptr;
  } catch (const c10::Error &e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return strdup(e.what());
  }
}
