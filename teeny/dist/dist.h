#pragma once
// One program, many processes: each is a rank with a device of its own, and an equal part of every batch.
//
//   mpirun -n 4 build/cpu-mpi-native/mnist                        the curve of one process, four times as fast
//
//   dist::broadcast(nn::state_dict(model));                       all start with the same parameters
//   data::DataLoader loader(train, {.batch_size = 128, .shuffle = true, .rank = dist::rank(), .ranks = dist::world()});
//   for (auto [x, y] : loader) {                                  x (32, ..): this rank's part of the batch
//     adam.zero_grad();
//     model(x).cross_entropy(y).backward();                       the gradient of this part ..
//     dist::average_gradients(adam.parameters());                 .. and of the whole batch, the same on all ranks
//     adam.step();                                                so all make the same step
//   }
//
// All ranks draw the same random values. Where there is dropout they should not: once the model is made, each begins a
// stream of its own with Tensor::manual_seed(seed + dist::rank()).
#include "teeny/dist/checkpoint.h"
#include "teeny/dist/collectives.h"
#include "teeny/dist/group.h"
#include "teeny/dist/layers.h"
#include "teeny/dist/sharded.h"
