// What the kernels for a few rows share.
#pragma once

#include <ATen/core/Tensor.h>

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
// Outputs of one piece of work.
constexpr int64_t kPiece = 32;

#define CROSS(A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)

INLINE lanes halves(const lanes &a, const lanes &b) {
  return CROSS(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
         CROSS(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

// Lane i is the sum of all lanes of s[i].
INLINE lanes totals(const lanes *s) {
  lanes fours[4];
  for (int j = 0; j < 4; ++j) {
    const lanes a = s[4 * j], b = s[4 * j + 1], c = s[4 * j + 2], d = s[4 * j + 3];
    const lanes ab = CROSS(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                     CROSS(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    const lanes cd = CROSS(c, d, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                     CROSS(c, d, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    fours[j] = CROSS(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               CROSS(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  return halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]));
}

// The sum of all lanes, by halves.
INLINE float total(const lanes &v) {
  typedef float eight __attribute__((vector_size(32)));
  typedef float four __attribute__((vector_size(16)));
  const eight a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const four b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  return (b[0] + b[2]) + (b[1] + b[3]);
}

// A matrix as it lies in memory: [out,in], or [in,out], by which the weights are read once for all rows and no sum is taken
// across lanes: twice as fast.
struct Matrix {
  const float *at;
  int64_t in, out;
  bool inputs_first;
};

// Whether it is float32 on the CPU, without gaps.
bool plain(const at::Tensor &t);

// As `w` [out,in] lies in memory, if it is a plain matrix or the transposed of one.
bool matrix(const at::Tensor &w, Matrix &m);

// y[r,o] = sum over i of x[r,i] w[o,i], + b[o] where b is not null, for outputs from..to, which begin at a piece.
void outputs(const Matrix &w, const float *b, int64_t rows, const float *x, float *y, int64_t from, int64_t to);

} // namespace rows
