#pragma once
#define NAPI_VERSION 9
#include <node_api.h>

#include <cstddef>
#include <cstdint>

#include "engine/allocator.h"
#include "unimoer/kernel.h"

namespace unimoer {

// Everything that belongs to one JavaScript environment (the main thread or one Worker).
struct Instance {
  Allocator allocator;
  std::int32_t* handle_args = nullptr;
  double* num_args = nullptr;
  napi_ref handle_args_ref = nullptr, num_args_ref = nullptr;
  std::int64_t reported_bytes = 0;
};

Instance& instance(napi_env env);
napi_value throw_error(napi_env env, const char* code, const char* message);
bool define_buffer_functions(napi_env env, napi_value exports);

}  // namespace unimoer
