// Picks one of the per-ISA kernel tables by what this CPU can run.
#include "engine/engine.h"
#include "unimoer/pool.h"
#include "unimoer/registrations.h"

#include <cstdlib>
#include <mutex>

#if defined(UNIMOER_ISAS)
#elif defined(UNIMOER_X86)
#define UNIMOER_ISAS(X) X(avx512bf16) X(avx512) X(avx2) X(portable)
#else
#define UNIMOER_ISAS(X) X(portable)
#endif

namespace unimoer {

#define UNIMOER_DECLARE(stem) void register_##stem(KernelTable&);
#define UNIMOER_DECLARE_ISA(isa)               \
  namespace isa {                              \
  UNIMOER_REGISTRATIONS(UNIMOER_DECLARE)       \
  }
UNIMOER_ISAS(UNIMOER_DECLARE_ISA)

namespace {

bool supported(const std::string& name) {
#if defined(UNIMOER_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (name == "avx2") return avx2;
  if (name == "avx512") return avx512;
  if (name == "avx512bf16")
    return avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#endif
  return name == "portable";
}

struct Entry {
  const char* name;
  void (*fill)(KernelTable&);
};

#define UNIMOER_CALL(stem) register_##stem(table);
#define UNIMOER_ENTRY(isa)                                      \
  {#isa, [](KernelTable& table) {                               \
     using namespace isa;                                       \
     UNIMOER_REGISTRATIONS(UNIMOER_CALL)                        \
   }},
const Entry kEntries[] = {UNIMOER_ISAS(UNIMOER_ENTRY)};

KernelTable g_table{};
const char* g_isa = "";
std::mutex g_start;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Entry& entry : kEntries)
    if (supported(entry.name)) names.push_back(entry.name);
  return names;
}

bool select_isa(const std::string& name, std::string& error) {
  for (const Entry& entry : kEntries) {
    if (name != entry.name) continue;
    if (!supported(name)) {
      error = "UNIMOER_CPU_ISA: this CPU cannot run '" + name + "'; it can run " + joined(available_isas());
      return false;
    }
    KernelTable table{};
    entry.fill(table);
    g_table = table;
    g_isa = entry.name;
    return true;
  }
  error = "UNIMOER_CPU_ISA: got '" + name + "', expected one of " + joined(available_isas());
  return false;
}

bool engine_start(std::string& error) {
  std::lock_guard<std::mutex> lock(g_start);
  if (*g_isa) return true;
  if (const char* text = std::getenv("UNIMOER_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long threads = std::strtol(text, &end, 10);
    if (*end || threads < 1 || threads > 256) {
      error = "UNIMOER_NUM_THREADS: got '" + std::string(text) + "', expected a whole number from 1 to 256";
      return false;
    }
    set_pool_threads(static_cast<int>(threads));
  }
  const char* forced = std::getenv("UNIMOER_CPU_ISA");
  return select_isa(forced && *forced ? std::string(forced) : available_isas().front(), error);
}

const KernelTable& kernel_table() { return g_table; }
const char* isa_name() { return g_isa; }

Status launch_kernel(int id, const KernelArgs& args) {
  const KernelFn fn = id >= 0 && id < kKernelCount ? g_table.fn[id] : nullptr;
  if (!fn) return fail(Status::unsupported, "this kernel has no native implementation");
  LaunchScope scope;
  return fn(args);
}

}  // namespace unimoer
