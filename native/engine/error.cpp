#include "unimoer/kernel.h"
#include "engine/engine.h"

#include <cstdio>

namespace unimoer {
namespace {
thread_local char t_message[512];
}

Status fail(Status status, const char* message) {
  std::snprintf(t_message, sizeof t_message, "%s", message);
  return status;
}

const char* last_error() { return t_message; }

}  // namespace unimoer
