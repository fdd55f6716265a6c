#include "teeny/graph/context.h"

namespace teeny {

Context& context() {
  thread_local Context of_this_thread;
  return of_this_thread;
}

}  // namespace teeny
