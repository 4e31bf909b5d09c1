#pragma once
// See ../../README.md.
#include <chrono>
namespace gloo {
constexpr auto kNoTimeout = std::chrono::milliseconds::zero();
}
