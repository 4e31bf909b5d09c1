// What the kernels for a few rows share.
#pragma once

#include <cstdint>

namespace rows {

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
// Compiled for three levels of x86-64, chosen when the program starts.
#if defined(__x86_64__)
#define FOR_EVERY_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EVERY_CPU
#endif

constexpr int64_t kLanes = 16;
constexpr int kTile = 4; // rows at once: their sums stay in registers, for four outputs or more
// Outputs of one piece of work: for all rows the weights come from the cache but once.
constexpr int64_t kPiece = 32;

// The sum of all lanes, by halves.
INLINE float total(const lanes &v) {
  typedef float eight __attribute__((vector_size(32)));
  typedef float four __attribute__((vector_size(16)));
  const eight a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const four b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  return (b[0] + b[2]) + (b[1] + b[3]);
}

// y[r,o] = x[r,:] . w[o,:] + b[o] for at most kTile rows and outputs from..to; `in` is a multiple of kLanes, b may be null.
void outputs_tile(int64_t rows, const float *x, const float *w, const float *b, float *y, int64_t in, int64_t out,
                  int64_t from, int64_t to);

// The same for any number of rows.
inline void outputs(int64_t rows, const float *x, const float *w, const float *b, float *y, int64_t in, int64_t out,
                    int64_t from, int64_t to) {
  for (int64_t piece = from; piece < to; piece += kPiece) {
    const int64_t end = piece + kPiece < to ? piece + kPiece : to;
    for (int64_t r = 0; r < rows; r += kTile)
      outputs_tile(rows - r < kTile ? rows - r : kTile, x + r * in, w, b, y + r * out, in, out, piece, end);
  }
}

} // namespace rows
