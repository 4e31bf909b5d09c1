// Steps of transformer blocks for captions that are being written: a new position of a few rows, against keys and values
// that are kept. Operator by operator, a block is dozens of calls on a few thousand numbers each, and their overhead is as
// long as the reading of the weights; here all blocks are one call, in which the threads meet five times a block.
#include "guarded.h"
#include "rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <omp.h>

#include <sched.h>

#include <algorithm>
#include <atomic>
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

// The products of a query, held in C lanes, with the keys from k on, as many as there are lanes.
template <int C> INLINE lanes sixteen(const lanes *q, const float *keys) {
  lanes s[kLanes];
  for (int64_t k = 0; k < kLanes; ++k) {
    s[k] = q[0] * *(const lanes *)(keys + k * C * kLanes);
    for (int i = 1; i < C; ++i)
      s[k] += q[i] * *(const lanes *)(keys + (k * C + i) * kLanes);
  }
  return totals(s);
}

// One head, C lanes wide: `rows` queries (`pitch` apart) over n keys and values. `open` may be null. `room` is for n numbers,
// filled up to the lanes.
template <int C>
INLINE void attend_lanes(const float *q, int64_t rows, int64_t pitch, const float *keys, const float *values, int64_t n,
                         const float *open, float *y, int64_t y_pitch, float *room) {
  constexpr int64_t c = C * kLanes;
  const float scale = 1.f / std::sqrt(static_cast<float>(c));
  const int64_t full = (n + kLanes - 1) / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, q += pitch, y += y_pitch) {
    lanes query[C];
    for (int i = 0; i < C; ++i)
      query[i] = *(const lanes *)(q + i * kLanes);
    int64_t k = 0;
    for (; k + kLanes <= n; k += kLanes)
      *(lanes *)(room + k) = sixteen<C>(query, keys + k * c) * scale;
    for (; k < n; ++k) {
      lanes s = query[0] * *(const lanes *)(keys + k * c);
      for (int i = 1; i < C; ++i)
        s += query[i] * *(const lanes *)(keys + k * c + i * kLanes);
      room[k] = total(s) * scale;
    }
    float most = -INFINITY;
    for (k = 0; k < n; ++k) {
      room[k] += open ? open[k] : 0.f;
      most = std::max(most, room[k]);
    }
    for (k = n; k < full; ++k)
      room[k] = -INFINITY;
    lanes sums{};
    for (k = 0; k < full; k += kLanes) {
      const lanes e = exponential(*(const lanes *)(room + k) - most);
      *(lanes *)(room + k) = e;
      sums += e;
    }
    const float share = 1.f / total(sums);
    // Two sums, so that one need not wait for the other.
    lanes even[C], odd[C];
    for (int i = 0; i < C; ++i)
      even[i] = odd[i] = lanes{};
    for (k = 0; k + 2 <= n; k += 2)
      for (int i = 0; i < C; ++i) {
        even[i] += room[k] * *(const lanes *)(values + k * c + i * kLanes);
        odd[i] += room[k + 1] * *(const lanes *)(values + (k + 1) * c + i * kLanes);
      }
    if (k < n)
      for (int i = 0; i < C; ++i)
        even[i] += room[k] * *(const lanes *)(values + k * c + i * kLanes);
    for (int i = 0; i < C; ++i)
      *(lanes *)(y + i * kLanes) = (even[i] + odd[i]) * share;
  }
}

FOR_EVERY_CPU void attend(int64_t c, const float *q, int64_t rows, int64_t pitch, const float *keys, const float *values,
                          int64_t n, const float *open, float *y, int64_t y_pitch, float *room) {
  switch (c / kLanes) {
  case 1: attend_lanes<1>(q, rows, pitch, keys, values, n, open, y, y_pitch, room); break;
  case 2: attend_lanes<2>(q, rows, pitch, keys, values, n, open, y, y_pitch, room); break;
  case 4: attend_lanes<4>(q, rows, pitch, keys, values, n, open, y, y_pitch, room); break;
  case 6: attend_lanes<6>(q, rows, pitch, keys, values, n, open, y, y_pitch, room); break;
  default: attend_lanes<8>(q, rows, pitch, keys, values, n, open, y, y_pitch, room); break;
  }
}

// Widths of a head that attend() knows.
bool known(int64_t c) {
  const int64_t count = c / kLanes;
  return c % kLanes == 0 && (count == 1 || count == 2 || count == 4 || count == 6 || count == 8);
}

// A block's step. What it points at belongs to the tensors in `held`.
struct Step {
  float *x;
  const float *norm_1, *norm_1_bias, *in_bias, *out_bias, *norm_2, *norm_2_bias, *fc_bias, *proj_bias;
  Matrix in, out, fc, proj;
  float *keys, *values;
  const float *open; // null: all keys are open
  int64_t open_pitch;
  int64_t rows, width, wide, heads, groups;
  int64_t room;   // positions that there is room for
  int64_t filled; // positions before the new one; of a cross-attention all
  bool cross;
  std::vector<at::Tensor> held;

  int64_t asked() const { return cross ? width : 3 * width; }
  // From one row of what the first product gives to the next.
  int64_t pitch() const { return in.out; }
  int64_t seen() const { return cross ? filled : filled + 1; }
  int64_t scores() const { return (seen() + 2 * kLanes) / kLanes * kLanes; }
};

// Threads meet here. OpenMP's own barrier sleeps at once where OMP_WAIT_POLICY says so: a hundred times as long.
class Meeting {
public:
  void meet(int of) {
    const int now = turn.load(std::memory_order_relaxed);
    if (come.fetch_add(1, std::memory_order_acq_rel) + 1 == of) {
      come.store(0, std::memory_order_relaxed);
      turn.store(now + 1, std::memory_order_release);
      return;
    }
    // Another may be waiting for this processor.
    for (int tries = 0; turn.load(std::memory_order_acquire) == now; ++tries)
      if (tries >= 2000)
        sched_yield();
      else
        relax();
  }

private:
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  std::atomic<int> come{0}, turn{0};
};

// The part of `all` that thread `at` of `of` takes, in whole pieces.
std::pair<int64_t, int64_t> part(int64_t all, int64_t piece, int64_t at, int64_t of) {
  const int64_t pieces = (all + piece - 1) / piece;
  return {std::min(all, pieces * at / of * piece), std::min(all, pieces * (at + 1) / of * piece)};
}

// What thread `at` of `of` does of a step. Each normalises all rows for itself, in `own`: that is quicker than to meet.
void work(const Step &s, int64_t at, int64_t of, float *shared, float *own, Meeting &meeting) {
  const int64_t c = s.width / s.heads, each = s.rows / s.groups;
  float *in = shared, *y = in + s.rows * s.pitch(), *mlp = y + s.rows * s.width, *room = own + s.rows * s.width;
  const auto normalise_all = [&](const float *weight, const float *bias) {
    for (int64_t r = 0; r < s.rows; ++r)
      normalise(s.x + r * s.width, weight, bias, own + r * s.width, s.width);
  };
  normalise_all(s.norm_1, s.norm_1_bias);
  auto mine = part(s.asked(), kPiece, at, of);
  outputs(s.in, s.in_bias, s.rows, own, in, mine.first, mine.second);
  meeting.meet(of);
  // Rows of a group look at the same keys: a head of a group is one piece of work.
  const auto tasks = part(s.groups * s.heads, 1, at, of);
  for (int64_t task = tasks.first; task < tasks.second; ++task) {
    const int64_t group = task / s.heads, head = task % s.heads;
    float *k = s.keys + task * s.room * c, *v = s.values + task * s.room * c;
    const float *q = in + group * each * s.pitch() + head * c;
    if (!s.cross) {
      std::memcpy(k + s.filled * c, q + s.width, c * sizeof(float));
      std::memcpy(v + s.filled * c, q + 2 * s.width, c * sizeof(float));
    }
    const float *open = s.open ? s.open + group * s.open_pitch : nullptr;
    attend(c, q, each, s.pitch(), k, v, s.seen(), open, y + group * each * s.width + head * c, s.width, room);
  }
  meeting.meet(of);
  mine = part(s.width, kPiece, at, of);
  outputs(s.out, s.out_bias, s.rows, y, own, mine.first, mine.second);
  add_all(s.x, own, s.rows, s.width, mine.first, mine.second);
  meeting.meet(of);
  normalise_all(s.norm_2, s.norm_2_bias);
  mine = part(s.wide, kPiece, at, of);
  outputs(s.fc, s.fc_bias, s.rows, own, mlp, mine.first, mine.second);
  gelu_all(mlp, s.rows, s.wide, mine.first, mine.second);
  meeting.meet(of);
  mine = part(s.width, kPiece, at, of);
  outputs(s.proj, s.proj_bias, s.rows, mlp, own, mine.first, mine.second);
  add_all(s.x, own, s.rows, s.width, mine.first, mine.second);
  meeting.meet(of);
}

void run(const std::vector<Step> &steps) {
  int64_t shared = 0, own = 0;
  for (const Step &s : steps) {
    shared = std::max(shared, s.rows * (s.pitch() + s.width + s.wide));
    own = std::max(own, s.rows * s.width + s.scores());
  }
  // Threads' own numbers are lines of the cache apart.
  own = (own + 2 * kLanes) / kLanes * kLanes;
  const int threads = std::max(1, std::min(at::get_num_threads(), 64));
  std::vector<float> buffer(shared + threads * own);
  Meeting meeting;
#pragma omp parallel num_threads(threads)
  {
    const int at = omp_get_thread_num(), of = omp_get_num_threads();
    for (const Step &s : steps)
      work(s, at, of, buffer.data(), buffer.data() + shared + at * own, meeting);
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
  const int64_t c = s.width / heads;
  Matrix *matrices[4] = {&s.in, &s.out, &s.fc, &s.proj};
  for (int i = 0; i < 4; ++i)
    if (w[2 + 2 * i + 2 * (i > 1)]->dim() != 2 || !matrix(*w[2 + 2 * i + 2 * (i > 1)], *matrices[i]))
      return false;
  s.wide = s.fc.out;
  const auto is = [](const Matrix &m, int64_t out, int64_t in) { return m.out == out && m.in == in; };
  const bool fits = s.rows >= 1 && s.rows <= 64 && s.groups >= 1 && s.width % heads == 0 && known(c) &&
                    s.width % kPiece == 0 && s.wide % kPiece == 0 && keys.size(1) == heads && keys.size(3) == c &&
                    s.room >= 1 && (s.cross ? s.rows % s.groups == 0 : s.rows == s.groups && s.filled < s.room) &&
                    is(s.in, 3 * s.width, s.width) && is(s.out, s.width, s.width) && is(s.fc, s.wide, s.width) &&
                    is(s.proj, s.width, s.wide);
  if (!fits)
    return false;
  // A cross-attention asks for queries alone, the first third of the rows of its matrix.
  if (s.cross && !s.in.inputs_first)
    s.in.out = s.width;
  const std::pair<int, int64_t> vectors[8] = {{0, s.width}, {1, s.width}, {3, 3 * s.width}, {5, s.width},
                                              {6, s.width}, {7, s.width}, {9, s.wide},      {11, s.width}};
  const float **at[8] = {&s.norm_1, &s.norm_1_bias, &s.in_bias, &s.out_bias,
                         &s.norm_2, &s.norm_2_bias, &s.fc_bias, &s.proj_bias};
  for (int i = 0; i < 8; ++i) {
    const at::Tensor &vector = *w[vectors[i].first];
    if (!plain(vector) || vector.numel() != vectors[i].second)
      return false;
    *at[i] = vector.const_data_ptr<float>();
  }
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
  for (int i = 0; i < 12; ++i)
    s.held.push_back(*w[i]);
  s.held.insert(s.held.end(), {x, keys, values});
  if (open)
    s.held.push_back(*open);
  return true;
}

} // namespace
} // namespace rows

void *cc_steps_new() { return new std::vector<rows::Step>; }

void cc_steps_free(void *steps) { delete static_cast<std::vector<rows::Step> *>(steps); }

char *cc_steps_add(void *steps, tensor x, tensor *weights, tensor keys, tensor values, int64_t heads, int64_t filled,
                   tensor open, int *done) {
  return guarded([&] {
    rows::Step step{};
    *done = rows::prepare(*x, weights, *keys, *values, heads, filled, open, step);
    if (*done)
      static_cast<std::vector<rows::Step> *>(steps)->push_back(std::move(step));
  });
}

char *cc_steps_run(void *steps) {
  return guarded([&] {
    auto &all = *static_cast<std::vector<rows::Step> *>(steps);
    if (!all.empty())
      rows::run(all);
    all.clear();
  });
}
