// What the host side of the engine offers to the binding and to the tests.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "unimoer/kernel.h"

namespace unimoer {

const char* last_error();

// Aligned memory from the system: 64 bytes, or 2 MiB with huge-page advice for blocks of 2 MiB and
// more. Null when the machine (or its control group) does not have that much.
void* system_alloc(std::size_t bytes);
void system_free(void* p, std::size_t bytes);

int usable_cores();
std::size_t usable_memory();

// Chooses the instruction set once per process. False, with `error` set, if UNIMOER_CPU_ISA or
// UNIMOER_NUM_THREADS cannot be honoured.
bool engine_start(std::string& error);
const KernelTable& kernel_table();
const char* isa_name();
std::vector<std::string> available_isas();
bool select_isa(const std::string& name, std::string& error);

Status launch_kernel(int id, const KernelArgs& args);

void set_pool_threads(int n);
int configured_threads();
void stop_pool();
// Freezes the thread count that the calling thread's kernel sees, whatever another thread sets.
struct LaunchScope {
  LaunchScope();
  ~LaunchScope();
};

}  // namespace unimoer
