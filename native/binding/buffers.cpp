// alloc, free, write, read, memory: buffers by handle, copied from and to views of the caller.
#include "binding/binding.h"

#include <cstdio>
#include <cstring>
#include <exception>

namespace unimoer {
namespace {

constexpr std::int64_t kReportStep = std::int64_t{1} << 20;
constexpr double kMaxBytes = 9007199254740991.0;

// V8 schedules collections by external bytes. What counts is what the process holds, live or cached: it
// grows when tensors leak, and stands still while a training step allocates and frees, which would
// otherwise look like so many bytes of garbage and cost a collection every few milliseconds.
void report_memory(napi_env env, Instance& self) {
  const std::int64_t held = static_cast<std::int64_t>(self.allocator.held_bytes());
  const std::int64_t delta = held - self.reported_bytes;
  if (delta < kReportStep && delta > -kReportStep) return;
  std::int64_t total;
  napi_adjust_external_memory(env, delta, &total);
  self.reported_bytes = held;
}

bool number(napi_env env, napi_value value, double& out) {
  return napi_get_value_double(env, value, &out) == napi_ok;
}

bool view_of(napi_env env, napi_value value, void*& data, std::size_t& bytes) {
  bool is = false;
  if (napi_is_typedarray(env, value, &is) == napi_ok && is) {
    napi_typedarray_type type;
    std::size_t length;
    if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
    static constexpr std::size_t size[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
    if (static_cast<std::size_t>(type) >= sizeof size / sizeof *size) return false;
    bytes = length * size[type];
    return true;
  }
  if (napi_is_dataview(env, value, &is) == napi_ok && is)
    return napi_get_dataview_info(env, value, &bytes, &data, nullptr, nullptr) == napi_ok;
  if (napi_is_arraybuffer(env, value, &is) == napi_ok && is)
    return napi_get_arraybuffer_info(env, value, &data, &bytes) == napi_ok;
  return false;
}

napi_value zero(napi_env env) {
  napi_value result;
  napi_create_int32(env, 0, &result);
  return result;
}

napi_value alloc(napi_env env, napi_callback_info info) {
  std::size_t count = 1;
  napi_value argument, result = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  double bytes = 0;
  if (count < 1 || !number(env, argument, bytes) || !(bytes >= 0) || bytes > kMaxBytes)
    return throw_error(env, "ERR_INVALID_ARG_VALUE", "alloc: bytes must be a number >= 0");
  Instance& self = instance(env);
  std::int32_t handle = 0;
  try {
    handle = self.allocator.alloc(static_cast<std::size_t>(bytes));
  } catch (const std::exception&) {
    handle = 0;
  }
  if (handle) {
    report_memory(env, self);
  } else {
    char message[128];
    std::snprintf(message, sizeof message, "out of memory: %.0f bytes asked, %zu bytes live", bytes,
                  self.allocator.stats().live_bytes);
    fail(Status::out_of_memory, message);
  }
  napi_create_int32(env, handle, &result);
  return result;
}

napi_value free_buffer(napi_env env, napi_callback_info info) {
  std::size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  std::int32_t handle = 0;
  if (count < 1 || napi_get_value_int32(env, argument, &handle) != napi_ok) handle = 0;
  Instance& self = instance(env);
  if (!self.allocator.free(handle)) return throw_error(env, "ERR_UNIMOER_HANDLE", "free: the handle is not live");
  return zero(env);
}

napi_value copy(napi_env env, napi_callback_info info, bool into_buffer) {
  std::size_t count = 3;
  napi_value argument[3];
  napi_get_cb_info(env, info, &count, argument, nullptr, nullptr);
  std::int32_t handle = 0;
  double offset = 0;
  void *view = nullptr, *ptr = nullptr;
  std::size_t view_bytes = 0, bytes = 0;
  if (count < 2 || napi_get_value_int32(env, argument[0], &handle) != napi_ok ||
      !view_of(env, argument[1], view, view_bytes))
    return throw_error(env, "ERR_INVALID_ARG_TYPE", "write/read: expected (handle, view, byteOffset)");
  if (count > 2) number(env, argument[2], offset);
  if (!instance(env).allocator.find(handle, ptr, bytes))
    return throw_error(env, "ERR_UNIMOER_HANDLE", "write/read: the handle is not live");
  if (!(offset >= 0) || offset > static_cast<double>(bytes) || view_bytes > bytes - static_cast<std::size_t>(offset))
    return throw_error(env, "ERR_OUT_OF_RANGE", "write/read: the view does not fit into the buffer");
  if (view_bytes) {
    char* start = static_cast<char*>(ptr) + static_cast<std::size_t>(offset);
    if (into_buffer)
      std::memcpy(start, view, view_bytes);
    else
      std::memcpy(view, start, view_bytes);
  }
  return zero(env);
}

napi_value write(napi_env env, napi_callback_info info) { return copy(env, info, true); }
napi_value read(napi_env env, napi_callback_info info) { return copy(env, info, false); }

napi_value memory(napi_env env, napi_callback_info) {
  const MemoryStats stats = instance(env).allocator.stats();
  const struct {
    const char* name;
    std::size_t value;
  } fields[] = {{"liveBytes", stats.live_bytes},
                {"peakBytes", stats.peak_bytes},
                {"cachedBytes", stats.cached_bytes},
                {"liveBuffers", stats.live_buffers}};
  napi_value object;
  napi_create_object(env, &object);
  for (const auto& field : fields) {
    napi_value value;
    napi_create_double(env, static_cast<double>(field.value), &value);
    napi_set_named_property(env, object, field.name, value);
  }
  return object;
}

napi_value reset_peak(napi_env env, napi_callback_info) {
  instance(env).allocator.reset_peak();
  return zero(env);
}

napi_value trim(napi_env env, napi_callback_info) {
  Instance& self = instance(env);
  self.allocator.trim();
  report_memory(env, self);
  return zero(env);
}

}  // namespace

bool define_buffer_functions(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
      {"alloc", nullptr, alloc, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"free", nullptr, free_buffer, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"write", nullptr, write, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"read", nullptr, read, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"memory", nullptr, memory, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"resetPeak", nullptr, reset_peak, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"trim", nullptr, trim, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  return napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok;
}

}  // namespace unimoer
