// The addon: launch() reads handles and numbers from two shared arrays, so a call passes three
// integers and creates no object. Failures become statuses or JavaScript errors, never an abort.
#include "binding/binding.h"
#include "engine/engine.h"

#include <cstdio>
#include <mutex>
#include <new>
#include <string>

namespace unimoer {
namespace {

constexpr const char* kKernelNames[] = {
#define UNIMOER_KERNEL(name, nbuf, narg) #name,
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
};
constexpr int kBufferCounts[] = {
#define UNIMOER_KERNEL(name, nbuf, narg) nbuf,
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
};
constexpr int kArgCounts[] = {
#define UNIMOER_KERNEL(name, nbuf, narg) narg,
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
};

std::mutex g_environments;
int g_environment_count = 0;

Status launch_checked(Instance& self, int id, int nbuf, int narg) {
  if (id < 0 || id >= kKernelCount) return fail(Status::bad_argument, "launch: no kernel has this id");
  char message[160];
  if (nbuf != kBufferCounts[id] || narg != kArgCounts[id]) {
    std::snprintf(message, sizeof message, "%s: got %d buffers and %d arguments, expected %d and %d",
                  kKernelNames[id], nbuf, narg, kBufferCounts[id], kArgCounts[id]);
    return fail(Status::bad_argument, message);
  }
  void* buf[kMaxBuffers];
  std::size_t bytes[kMaxBuffers];
  for (int i = 0; i < nbuf; ++i) {
    const std::int32_t handle = self.handle_args[i];
    buf[i] = nullptr;
    bytes[i] = 0;
    if (handle != 0 && !self.allocator.find(handle, buf[i], bytes[i])) {
      std::snprintf(message, sizeof message, "%s: buffer %d is not live (handle %d)", kKernelNames[id], i, handle);
      return fail(Status::bad_argument, message);
    }
  }
  try {
    return launch_kernel(id, KernelArgs{buf, bytes, nbuf, self.num_args, narg});
  } catch (const std::bad_alloc&) {
    return fail(Status::out_of_memory, "out of memory");
  } catch (const std::exception& error) {
    return fail(Status::internal, error.what());
  } catch (...) {
    return fail(Status::internal, "unknown native exception");
  }
}

napi_value launch(napi_env env, napi_callback_info info) {
  std::size_t count = 3;
  napi_value argument[3], result = nullptr;
  napi_get_cb_info(env, info, &count, argument, nullptr, nullptr);
  std::int32_t id = -1, nbuf = -1, narg = -1;
  if (count == 3) {
    napi_get_value_int32(env, argument[0], &id);
    napi_get_value_int32(env, argument[1], &nbuf);
    napi_get_value_int32(env, argument[2], &narg);
  }
  napi_create_int32(env, static_cast<int>(launch_checked(instance(env), id, nbuf, narg)), &result);
  return result;
}

napi_value last_error_text(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, last_error(), NAPI_AUTO_LENGTH, &result);
  return result;
}

napi_value packed_bytes(napi_env env, napi_callback_info info) {
  std::size_t count = 3;
  napi_value argument[3], result = nullptr;
  napi_get_cb_info(env, info, &count, argument, nullptr, nullptr);
  double value[3] = {-1, -1, -1};
  for (std::size_t i = 0; i < count && i < 3; ++i) napi_get_value_double(env, argument[i], &value[i]);
  std::size_t bytes = 0;
  constexpr double limit = 2147483647.0;
  if (kernel_table().packed_bytes && value[0] >= 0 && value[0] < 16 && value[1] >= 1 && value[1] <= limit &&
      value[2] >= 1 && value[2] <= limit)
    bytes = kernel_table().packed_bytes(static_cast<int>(value[0]), static_cast<std::int64_t>(value[1]),
                                        static_cast<std::int64_t>(value[2]));
  napi_create_double(env, static_cast<double>(bytes), &result);
  return result;
}

napi_value quantized_bytes(napi_env env, napi_callback_info info) {
  std::size_t count = 4;
  napi_value argument[4], result = nullptr;
  napi_get_cb_info(env, info, &count, argument, nullptr, nullptr);
  double value[4] = {-1, -1, -1, -1};
  for (std::size_t i = 0; i < count && i < 4; ++i) napi_get_value_double(env, argument[i], &value[i]);
  bool fits = kernel_table().quantized_bytes != nullptr;
  for (double v : value) fits = fits && v >= 0 && v <= 2147483647.0;
  std::size_t bytes = 0;
  if (fits)
    bytes = kernel_table().quantized_bytes(static_cast<int>(value[0]), static_cast<std::int64_t>(value[1]),
                                           static_cast<std::int64_t>(value[2]), static_cast<std::int64_t>(value[3]));
  napi_create_double(env, static_cast<double>(bytes), &result);
  return result;
}

napi_value set_threads(napi_env env, napi_callback_info info) {
  std::size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  double threads = 0;
  if (count < 1 || napi_get_value_double(env, argument, &threads) != napi_ok || !(threads >= 1) || threads > 256)
    return throw_error(env, "ERR_OUT_OF_RANGE", "setThreads: expected a whole number from 1 to 256");
  set_pool_threads(static_cast<int>(threads));
  return nullptr;
}

napi_value threads(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_int32(env, configured_threads(), &result);
  return result;
}

napi_value isa(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, isa_name(), NAPI_AUTO_LENGTH, &result);
  return result;
}

napi_value available(napi_env env, napi_callback_info) {
  napi_value result = nullptr, text;
  napi_create_array(env, &result);
  std::uint32_t index = 0;
  for (const std::string& name : available_isas()) {
    napi_create_string_utf8(env, name.c_str(), NAPI_AUTO_LENGTH, &text);
    napi_set_element(env, result, index++, text);
  }
  return result;
}

// The array buffer is owned by V8 and pinned by a reference; its memory never moves.
bool shared_array(napi_env env, napi_value exports, const char* name, napi_typedarray_type type, std::size_t length,
                  std::size_t element, void** data, napi_ref* ref) {
  napi_value buffer, array;
  return napi_create_arraybuffer(env, length * element, data, &buffer) == napi_ok &&
         napi_create_typedarray(env, type, length, buffer, 0, &array) == napi_ok &&
         napi_create_reference(env, buffer, 1, ref) == napi_ok &&
         napi_set_named_property(env, exports, name, array) == napi_ok;
}

void close_environment(void* data) {
  delete static_cast<Instance*>(data);
  std::lock_guard<std::mutex> lock(g_environments);
  if (--g_environment_count == 0) stop_pool();  // the library may be unloaded after this
}

bool define_constants(napi_env env, napi_value exports) {
  napi_value abi, names, registered, value;
  if (napi_create_int32(env, 1, &abi) != napi_ok || napi_create_array(env, &names) != napi_ok ||
      napi_create_array(env, &registered) != napi_ok)
    return false;
  for (int i = 0; i < kKernelCount; ++i) {
    napi_create_string_utf8(env, kKernelNames[i], NAPI_AUTO_LENGTH, &value);
    napi_set_element(env, names, static_cast<std::uint32_t>(i), value);
    napi_get_boolean(env, kernel_table().fn[i] != nullptr, &value);
    napi_set_element(env, registered, static_cast<std::uint32_t>(i), value);
  }
  return napi_set_named_property(env, exports, "abi", abi) == napi_ok &&
         napi_set_named_property(env, exports, "kernels", names) == napi_ok &&
         napi_set_named_property(env, exports, "registered", registered) == napi_ok;
}

}  // namespace

Instance& instance(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Instance*>(data);
}

napi_value throw_error(napi_env env, const char* code, const char* message) {
  napi_throw_error(env, code, message);
  return nullptr;
}

napi_value start(napi_env env, napi_value exports) {
  std::string error;
  try {
    if (!engine_start(error)) return throw_error(env, "ERR_UNIMOER_SETTING", error.c_str());
  } catch (...) {
    return throw_error(env, "ERR_UNIMOER_START", "the native engine could not start: out of memory");
  }
  auto* self = new (std::nothrow) Instance;
  if (!self) return throw_error(env, "ERR_UNIMOER_START", "the native engine could not start: out of memory");
  {
    std::lock_guard<std::mutex> lock(g_environments);
    ++g_environment_count;
  }
  napi_set_instance_data(env, self, nullptr, nullptr);
  napi_add_env_cleanup_hook(env, close_environment, self);
  const napi_property_descriptor properties[] = {
      {"launch", nullptr, launch, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"lastError", nullptr, last_error_text, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"packedBytes", nullptr, packed_bytes, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"quantizedBytes", nullptr, quantized_bytes, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"setThreads", nullptr, set_threads, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"threads", nullptr, threads, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"isa", nullptr, isa, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"availableIsas", nullptr, available, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  void *handles = nullptr, *numbers = nullptr;
  const bool ok =
      shared_array(env, exports, "handleArgs", napi_int32_array, kMaxBuffers, 4, &handles, &self->handle_args_ref) &&
      shared_array(env, exports, "numArgs", napi_float64_array, kMaxArgs, 8, &numbers, &self->num_args_ref) &&
      napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok &&
      define_constants(env, exports) && define_buffer_functions(env, exports);
  if (!ok) return throw_error(env, "ERR_UNIMOER_START", "the native engine could not define its exports");
  self->handle_args = static_cast<std::int32_t*>(handles);
  self->num_args = static_cast<double*>(numbers);
  return exports;
}

}  // namespace unimoer

NAPI_MODULE_INIT() { return unimoer::start(env, exports); }
