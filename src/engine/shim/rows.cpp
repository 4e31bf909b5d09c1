// Linear layers for a few rows on a CPU. A caption is written some rows at a time, so each weight is read for
// 8 or 16 rows only, and the time is that of reading memory. libtorch's products (MKL) reach a quarter of the
// memory's speed at this shape; these loops come close to it.
#include "products.h"
#include "rows.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>

namespace rows {

// y[r,o] = x[r,:] . w[o,:] + b[o], for R rows and outputs from..to, O at a time: so many rows of w stream in at once, and
// the next O are asked for, since the processor's own prefetching ends with a page. `in` is a multiple of the lanes.
template <int R, int O>
INLINE void by_outputs(const float *x, const float *w, const float *b, float *y, int64_t in, int64_t out, int64_t from,
                       int64_t to) {
  int64_t o = from;
  for (; o + O <= to; o += O) {
    const float *p = w + o * in;
    lanes s[O][R];
    for (int k = 0; k < O; ++k)
      for (int r = 0; r < R; ++r)
        s[k][r] = lanes{};
    for (int64_t i = 0; i < in; i += kLanes) {
      lanes a[O];
      for (int k = 0; k < O; ++k) {
        a[k] = *(const lanes *)(p + k * in + i);
        __builtin_prefetch(p + (k + O) * in + i, 0, 1);
      }
      for (int r = 0; r < R; ++r) {
        const lanes v = *(const lanes *)(x + r * in + i);
        for (int k = 0; k < O; ++k)
          s[k][r] += v * a[k];
      }
    }
    for (int k = 0; k < O; ++k)
      for (int r = 0; r < R; ++r)
        y[r * out + o + k] = total(s[k][r]) + (b ? b[o + k] : 0);
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
      for (int k = 4; k < 8; ++k)
        for (int64_t c = 0; c < full; c += kLanes)
          __builtin_prefetch(q + k * out + c, 0, 1);
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
  switch (rows) {
  case 1: by_outputs<1, 8>(x, w, b, y, in, out, from, to); break;
  case 2: by_outputs<2, 4>(x, w, b, y, in, out, from, to); break;
  case 3: by_outputs<3, 4>(x, w, b, y, in, out, from, to); break;
  default: by_outputs<4, 4>(x, w, b, y, in, out, from, to); break;
  }
}

FOR_EVERY_CPU static void inputs_tile(int64_t rows, const float *x, const float *p, float *y, int64_t in, int64_t out,
                               int64_t from, int64_t to) {
#define CALL(R) by_inputs<R>(x, p, y, in, out, from, to)
  ROWS(CALL)
#undef CALL
}

static bool plain(const at::Tensor &t) {
  return t.defined() && t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous();
}

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
      if (!transposed) {
        outputs(rows, xs, ws, bs, ys, in, out, from, to);
        continue;
      }
      constexpr int64_t tile = 8;
      for (int64_t r = 0; r < rows; r += tile)
        inputs_tile(std::min(tile, rows - r), xs + r * in, ws, ys + r * out, in, out, from, to);
    }
  });
  return true;
}

} // namespace rows

extern "C" char *cc_linear(tensor x, tensor weight, tensor bias, int transposed, tensor *out) {
  try {
    at::Tensor y;
    if (!rows::few_rows(*x, *weight, bias, transposed != 0, y))
      y = cpu_linear(*x, transposed ? weight->t() : *weight, bias ? std::optional<at::Tensor>(*bias) : std::nullopt);
    *out = new at::Tensor(std::move(y));
    return nullptr;
  } catch (const c10::Error &e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return strdup(e.what());
  }
}
