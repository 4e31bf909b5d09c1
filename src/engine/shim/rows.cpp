// Linear layers for a few rows on a CPU. A caption is written some rows at a time, so each weight is read for
// 8 or 16 rows only, and the time is that of reading memory. libtorch's products (MKL) reach a quarter of the
// memory's speed at this shape; these loops come close to it.
#include "guarded.h"
#include "products.h"
#include "rows.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
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

// y[r,o] = sum over i of x[r,i] p[i,o] (+ b[o]), for R rows and outputs from..to, a block of columns at a time: so many rows
// of p go by that the sums of two lanes of columns stay in registers meanwhile.
template <int R>
INLINE void by_inputs(const float *x, const float *p, const float *b, float *y, int64_t in, int64_t out, int64_t from,
                      int64_t to) {
  constexpr int64_t block = 256, together = 16, pair = 2 * kLanes;
  alignas(64) float sums[R * block];
  for (int64_t o = from; o < to; o += block) {
    const int64_t n = std::min(block, to - o), full = n / pair * pair;
    for (int r = 0; r < R; ++r)
      for (int64_t c = 0; c < n; ++c)
        sums[r * block + c] = b ? b[o + c] : 0;
    for (int64_t i = 0; i < in; i += together) {
      const float *q = p + i * out + o;
      const int64_t now = std::min(together, in - i);
      for (int64_t c = 0; c < full; c += pair) {
        // Each stretch is summed up by itself: less is rounded away than in one long sum.
        lanes s[R][2];
        for (int r = 0; r < R; ++r)
          s[r][0] = s[r][1] = lanes{};
        for (int64_t t = 0; t < now; ++t) {
          const float *here = q + t * out + c, *next = here + together * out;
          const lanes first = *(const lanes *)here, second = *(const lanes *)(here + kLanes);
          __builtin_prefetch(next);
          __builtin_prefetch(next + kLanes);
          for (int r = 0; r < R; ++r) {
            const float v = x[r * in + i + t];
            s[r][0] += v * first;
            s[r][1] += v * second;
          }
        }
        for (int r = 0; r < R; ++r)
          for (int k = 0; k < 2; ++k)
            *(lanes *)(sums + r * block + c + k * kLanes) += s[r][k];
      }
      for (int64_t t = 0; t < now; ++t)
        for (int r = 0; r < R; ++r)
          for (int64_t c = full; c < n; ++c)
            sums[r * block + c] += x[r * in + i + t] * q[t * out + c];
    }
    for (int r = 0; r < R; ++r)
      std::memcpy(y + r * out + o, sums + r * block, n * sizeof(float));
  }
}

FOR_EVERY_CPU static void outputs_tile(int64_t rows, const float *x, const float *w, const float *b, float *y, int64_t in,
                                       int64_t out, int64_t from, int64_t to) {
  switch (rows) {
  case 1: by_outputs<1, 8>(x, w, b, y, in, out, from, to); break;
  case 2: by_outputs<2, 4>(x, w, b, y, in, out, from, to); break;
  case 3: by_outputs<3, 4>(x, w, b, y, in, out, from, to); break;
  default: by_outputs<4, 4>(x, w, b, y, in, out, from, to); break;
  }
}

FOR_EVERY_CPU static void inputs_tile(int64_t rows, const float *x, const float *p, const float *b, float *y, int64_t in,
                                      int64_t out, int64_t from, int64_t to) {
  switch (rows) {
  case 1: by_inputs<1>(x, p, b, y, in, out, from, to); break;
  case 2: by_inputs<2>(x, p, b, y, in, out, from, to); break;
  case 3: by_inputs<3>(x, p, b, y, in, out, from, to); break;
  case 4: by_inputs<4>(x, p, b, y, in, out, from, to); break;
  case 5: by_inputs<5>(x, p, b, y, in, out, from, to); break;
  case 6: by_inputs<6>(x, p, b, y, in, out, from, to); break;
  case 7: by_inputs<7>(x, p, b, y, in, out, from, to); break;
  default: by_inputs<8>(x, p, b, y, in, out, from, to); break;
  }
}

void outputs(const Matrix &w, const float *b, int64_t rows, const float *x, float *y, int64_t from, int64_t to) {
  // Rows at once: their sums stay in registers. A piece of the weights comes from memory for the first of them, from the
  // cache for the others: it is small enough for that.
  const int64_t tile = w.inputs_first ? 8 : 4;
  const int64_t columns = w.in > 1024 ? 128 : 256;
  const int64_t piece = !w.inputs_first ? kPiece : rows > tile ? columns : to - from;
  for (int64_t begin = from; begin < to; begin += piece)
    for (int64_t r = 0; r < rows; r += tile) {
      const int64_t now = std::min(tile, rows - r), end = std::min(to, begin + piece);
      const auto run = w.inputs_first ? inputs_tile : outputs_tile;
      run(now, x + r * w.in, w.at, b, y + r * w.out, w.in, w.out, begin, end);
    }
}

bool plain(const at::Tensor &t) {
  return t.defined() && t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous();
}

// As `w` [out,in] lies in memory, if it is a plain matrix or the transposed of one.
bool matrix(const at::Tensor &w, Matrix &m) {
  if (!w.defined() || !w.device().is_cpu() || w.scalar_type() != at::kFloat || w.dim() != 2 || w.numel() == 0)
    return false;
  m = {w.const_data_ptr<float>(), w.size(1), w.size(0), false};
  if (w.is_contiguous() && m.in % kLanes == 0)
    return true;
  m.inputs_first = true;
  return w.t().is_contiguous();
}

static bool few_rows(const at::Tensor &x, const at::Tensor &w, const at::Tensor *b, at::Tensor &y) {
  Matrix m;
  if (c10::GradMode::is_enabled() || at::autocast::is_autocast_enabled(at::kCPU) || !plain(x) || x.dim() < 1 ||
      !matrix(w, m) || x.size(-1) != m.in || (b && (!plain(*b) || b->numel() != m.out)))
    return false;
  const int64_t rows = x.numel() / m.in;
  if (rows < 1 || rows > 32)
    return false;
  auto shape = x.sizes().vec();
  shape.back() = m.out;
  y = at::empty(shape, x.options());
  const float *xs = x.const_data_ptr<float>(), *bs = b ? b->const_data_ptr<float>() : nullptr;
  float *ys = y.mutable_data_ptr<float>();
  const int64_t pieces = (m.out + kPiece - 1) / kPiece;
  at::parallel_for(0, pieces, 1, [&](int64_t first, int64_t last) {
    outputs(m, bs, rows, xs, ys, first * kPiece, std::min(m.out, last * kPiece));
  });
  return true;
}

} // namespace rows

extern "C" char *cc_linear(tensor x, tensor weight, tensor bias, int transposed, tensor *out) {
  return guarded([&] {
    at::Tensor y;
    const at::Tensor w = transposed ? weight->t() : *weight;
    if (!rows::few_rows(*x, w, bias, y))
      y = cpu_linear(*x, w, bias ? std::optional<at::Tensor>(*bias) : std::nullopt);
    *out = new at::Tensor(std::move(y));
  });
}
