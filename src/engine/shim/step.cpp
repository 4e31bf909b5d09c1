// One step of a transformer block for captions that are being written: a new position of a few rows, against keys and
// values that are kept. Operator by operator, a step is hundreds of calls on a few thousand numbers each, and their
// overhead is as long as the reading of the weights; here a block is one call, and its threads meet six times.
#include "rows.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <vector>

namespace rows {
namespace {

typedef int32_t whole __attribute__((vector_size(64), aligned(4), may_alias));

constexpr float kEps = 1e-5f;

// e^x for x <= 0, by Cephes' polynomial: within 2 units in the last place; 0 far below.
INLINE lanes exponential(lanes x) {
  const lanes low = lanes{} - 87.f;
  const lanes clamped = x < low ? low : x;
  const lanes z = clamped * 1.44269504088896341f - 0.5f; // rounds to nearest, for x <= 0, when cut off
  const whole n = __builtin_convertvector(z, whole);
  const lanes f = __builtin_convertvector(n, lanes);
  const lanes r = clamped - f * 0.693359375f + f * 2.12194440e-4f;
  lanes p = lanes{} + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const whole bits = (n + 127) << 23;
  lanes scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return x < low ? lanes{} : p * scale;
}

// x (1 + erf(x / sqrt 2)) / 2. erf is the ratio of polynomials that Eigen uses, within 4e-7.
INLINE lanes gelu(lanes x) {
  lanes t = x * 0.70710678118654752f;
  t = t > 4.f ? lanes{} + 4.f : t;
  t = t < -4.f ? lanes{} - 4.f : t;
  const lanes s = t * t;
  lanes p = lanes{} - 2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s - 2.10102402082508e-06f;
  p = p * s - 5.69250639462346e-05f;
  p = p * s - 7.34990630326855e-04f;
  p = p * s - 2.95459980854025e-03f;
  p = p * s - 1.60960333262415e-02f;
  lanes q = lanes{} - 1.45660718464996e-05f;
  q = q * s - 2.13374055278905e-04f;
  q = q * s - 1.68282697438203e-03f;
  q = q * s - 7.37332916720468e-03f;
  q = q * s - 1.42647390514189e-02f;
  return x * (0.5f + 0.5f * (t * p / q));
}

FOR_EVERY_CPU void normalise(const float *x, const float *weight, const float *bias, float *y, int64_t width) {
  lanes sum{};
  for (int64_t i = 0; i < width; i += kLanes)
    sum += *(const lanes *)(x + i);
  const float mean = total(sum) / width;
  lanes squares{};
  for (int64_t i = 0; i < width; i += kLanes) {
    const lanes d = *(const lanes *)(x + i) - mean;
    squares += d * d;
  }
  const float scale = 1.f / std::sqrt(total(squares) / width + kEps);
  for (int64_t i = 0; i < width; i += kLanes)
    *(lanes *)(y + i) =
        (*(const lanes *)(x + i) - mean) * scale * *(const lanes *)(weight + i) + *(const lanes *)(bias + i);
}

// Outputs from..to of each row, each a multiple of the lanes.
FOR_EVERY_CPU void gelu_all(float *y, int64_t rows, int64_t stride, int64_t from, int64_t to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = from; i < to; i += kLanes)
      *(lanes *)(y + r * stride + i) = gelu(*(const lanes *)(y + r * stride + i));
}

FOR_EVERY_CPU void add_all(float *x, const float *y, int64_t rows, int64_t stride, int64_t from, int64_t to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = from; i < to; i += kLanes)
      *(lanes *)(x + r * stride + i) += *(const lanes *)(y + r * stride + i);
}

// One head: `rows` queries (`pitch` apart), already scaled, over n keys and values [n,c]. `open` may be null. `room` is for
// n numbers, filled up to the lanes.
FOR_EVERY_CPU void attend(const float *q, int64_t rows, int64_t pitch, const float *keys, const float *values,
                          int64_t n, int64_t c, const float *open, float *y, float *room) {
  const float scale = 1.f / std::sqrt(static_cast<float>(c));
  const int64_t full = (n + kLanes - 1) / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, q += pitch, y += pitch) {
    float most = -INFINITY;
    for (int64_t k = 0; k < n; ++k) {
      lanes s{};
      for (int64_t i = 0; i < c; i += kLanes)
        s += *(const lanes *)(q + i) * *(const lanes *)(keys + k * c + i);
      room[k] = total(s) * scale + (open ? open[k] : 0.f);
      most = std::max(most, room[k]);
    }
    for (int64_t k = n; k < full; ++k)
      room[k] = -INFINITY;
    lanes sums{};
    for (int64_t k = 0; k < full; k += kLanes) {
      const lanes e = exponential(*(const lanes *)(room + k) - most);
      *(lanes *)(room + k) = e;
      sums += e;
    }
    const float share = 1.f / total(sums);
    for (int64_t i = 0; i < c; i += kLanes) {
      lanes s{};
      for (int64_t k = 0; k < n; ++k)
        s += room[k] * *(const lanes *)(values + k * c + i);
      *(lanes *)(y + i) = s * share;
    }
  }
}

// In the order in which they are handed over.
struct Weights {
  const float *norm_1, *norm_1_bias, *in, *in_bias, *out, *out_bias, *norm_2, *norm_2_bias, *fc, *fc_bias, *proj,
      *proj_bias;
};

bool plain(const at::Tensor &t) {
  return t.defined() && t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous();
}

struct Step {
  float *x;
  Weights w;
  float *keys, *values;
  const float *open;     // null: all keys are open
  int64_t open_pitch;
  int64_t rows, width, wide, heads, groups;
  int64_t room;          // positions that there is room for
  int64_t filled;        // positions before the new one; of a cross-attention all
  bool cross;
};

// The part of `all` that thread `at` of `of` takes, in whole pieces.
std::pair<int64_t, int64_t> part(int64_t all, int64_t piece, int64_t at, int64_t of) {
  const int64_t pieces = (all + piece - 1) / piece;
  return {std::min(all, pieces * at / of * piece), std::min(all, pieces * (at + 1) / of * piece)};
}

void run(const Step &s) {
  const int64_t c = s.width / s.heads, asked = s.cross ? s.width : 3 * s.width;
  const int64_t keys = s.cross ? s.filled : s.filled + 1;
  const int64_t each = s.rows / s.groups;
  const int threads = std::max(1, std::min(at::get_num_threads(), 64));
  const int64_t scores = (keys + 2 * kLanes) / kLanes * kLanes;
  std::vector<float> buffer(s.rows * (s.width + asked + s.width + s.wide) + threads * scores);
  float *normal = buffer.data(), *in = normal + s.rows * s.width, *y = in + s.rows * asked,
        *mlp = y + s.rows * s.width, *rooms = mlp + s.rows * s.wide;
#pragma omp parallel num_threads(threads)
  {
    const int64_t at = omp_get_thread_num(), of = omp_get_num_threads();
    const auto some = part(s.rows, 1, at, of);
    for (int64_t r = some.first; r < some.second; ++r)
      normalise(s.x + r * s.width, s.w.norm_1, s.w.norm_1_bias, normal + r * s.width, s.width);
#pragma omp barrier
    auto mine = part(asked, kPiece, at, of);
    outputs(s.rows, normal, s.w.in, s.w.in_bias, in, s.width, asked, mine.first, mine.second);
#pragma omp barrier
    // Rows of a group look at the same keys: a head of a group is one piece of work.
    const auto tasks = part(s.groups * s.heads, 1, at, of);
    for (int64_t task = tasks.first; task < tasks.second; ++task) {
      const int64_t group = task / s.heads, head = task % s.heads;
      float *k = s.keys + task * s.room * c, *v = s.values + task * s.room * c;
      const float *q = in + group * each * asked + head * c;
      if (!s.cross) {
        std::memcpy(k + s.filled * c, q + s.width, c * sizeof(float));
        std::memcpy(v + s.filled * c, q + 2 * s.width, c * sizeof(float));
      }
      const float *open = s.open ? s.open + group * s.open_pitch : nullptr;
      if (s.cross)
        attend(q, each, asked, k, v, keys, c, open, y + group * each * s.width + head * c, rooms + at * scores);
      else
        attend(q, 1, asked, k, v, keys, c, open, y + group * s.width + head * c, rooms + at * scores);
    }
#pragma omp barrier
    mine = part(s.width, kPiece, at, of);
    outputs(s.rows, y, s.w.out, s.w.out_bias, normal, s.width, s.width, mine.first, mine.second);
    add_all(s.x, normal, s.rows, s.width, mine.first, mine.second);
#pragma omp barrier
    for (int64_t r = some.first; r < some.second; ++r)
      normalise(s.x + r * s.width, s.w.norm_2, s.w.norm_2_bias, normal + r * s.width, s.width);
#pragma omp barrier
    mine = part(s.wide, kPiece, at, of);
    outputs(s.rows, normal, s.w.fc, s.w.fc_bias, mlp, s.width, s.wide, mine.first, mine.second);
    gelu_all(mlp, s.rows, s.wide, mine.first, mine.second);
#pragma omp barrier
    mine = part(s.width, kPiece, at, of);
    outputs(s.rows, mlp, s.w.proj, s.w.proj_bias, y, s.wide, s.width, mine.first, mine.second);
    add_all(s.x, y, s.rows, s.width, mine.first, mine.second);
  }
}

// Whether all is as run() needs it.
bool prepare(const at::Tensor &x, at::Tensor **w, const at::Tensor &keys, const at::Tensor &values, int64_t heads,
             int64_t filled, const at::Tensor *open, Step &s) {
  if (c10::GradMode::is_enabled() || at::autocast::is_autocast_enabled(at::kCPU) || !plain(x) || !plain(keys) ||
      !plain(values) || x.dim() < 2 || keys.dim() != 4 || keys.sizes() != values.sizes() || heads < 1)
    return false;
  s.cross = filled < 0;
  s.width = x.size(-1);
  s.rows = x.numel() / std::max<int64_t>(1, s.width);
  s.heads = heads;
  s.groups = keys.size(0);
  s.room = keys.size(2);
  s.filled = s.cross ? s.room : filled;
  s.wide = w[8]->size(0);
  const int64_t c = s.width / heads;
  const bool fits = s.rows >= 1 && s.rows <= 64 && s.groups >= 1 && s.width % heads == 0 && c % kLanes == 0 &&
                    s.width % kPiece == 0 && s.wide % kPiece == 0 && keys.size(1) == heads && keys.size(3) == c &&
                    s.room >= 1 && (s.cross ? s.rows % s.groups == 0 : s.rows == s.groups && s.filled < s.room);
  if (!fits)
    return false;
  const int64_t numbers[12] = {s.width, s.width, 3 * s.width * s.width, 3 * s.width, s.width * s.width, s.width,
                               s.width, s.width, s.wide * s.width,      s.wide,      s.width * s.wide,  s.width};
  for (int i = 0; i < 12; ++i)
    if (!plain(*w[i]) || w[i]->numel() != numbers[i])
      return false;
  const auto at = [&](int i) { return w[i]->const_data_ptr<float>(); };
  s.w = {at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10), at(11)};
  s.open = nullptr;
  s.open_pitch = 0;
  if (open) {
    if (s.cross || !plain(*open) || open->size(0) != s.rows || open->numel() / s.rows <= s.filled)
      return false;
    s.open = open->const_data_ptr<float>();
    s.open_pitch = open->numel() / s.rows;
  }
  s.x = x.mutable_data_ptr<float>();
  s.keys = keys.mutable_data_ptr<float>();
  s.values = values.mutable_data_ptr<float>();
  return true;
}

} // namespace
} // namespace rows

extern "C" char *cc_block_step(tensor x, tensor *weights, tensor keys, tensor values, int64_t heads, int64_t filled,
                               tensor open, int *done) {
  try {
    rows::Step step{};
    *done = rows::prepare(*x, weights, *keys, *values, heads, filled, open, step);
    if (*done)
      rows::run(step);
    return nullptr;
  } catch (const c10::Error &e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return strdup(e.what());
  }
}
