#pragma once
// See ../README.md.
namespace gloo {
class Algorithm;
}
