// What both halves of the shim share.
#pragma once

#include "shim.h"

#include <ATen/ATen.h>

#include <cstring>
#include <exception>
#include <vector>

// Nothing is thrown across the border to Rust: an exception becomes a message.
template <class F> char *guarded(F &&body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("an exception of unknown type");
  }
}

inline std::vector<at::Tensor> collect(tensor *tensors, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; ++i)
    out.push_back(*tensors[i]);
  return out;
}
