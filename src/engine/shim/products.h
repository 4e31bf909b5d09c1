// Matrix products of float32 on the CPU, as fast as this machine can.
#pragma once

#include <ATen/ATen.h>

#include <optional>

// x w^T + bias for x [..., in] and w [out, in], which may be a transposed view. Where something requires
// gradients it is recorded. Equal to at::linear but for rounding.
at::Tensor cpu_linear(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias);

// The same, never recorded.
at::Tensor cpu_product(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias);
