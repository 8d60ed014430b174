/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random processes for the model of labels. */
#ifndef KILN_MODEL_H
#define KILN_MODEL_H

/* `kt model`: the controller. */
int model(int argc, char **argv);
/* `ANY model-worker NUMBER`: a worker after an exec. */
int model_worker(int argc, char **argv);
/* A worker's life. */
__attribute__((noreturn)) void work(void);

#endif
