/* Runs one signature of a SavedModel through TensorFlow's C library: run_savedmodel FOLDER JOB.

   Each line of JOB is a tensor that is given or wanted:
     feed OPERATION INDEX DTYPE RANK SIZE... FILE     raw values in FILE
     fetch OPERATION INDEX FILE                       raw values go to FILE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

enum { MOST = 64, RANKS = 8, NAME = 512 };

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s: %s\n", what, TF_Message(status));
    exit(1);
  }
}

static void fail(const char *what, const char *name) {
  fprintf(stderr, "%s: %s\n", what, name);
  exit(1);
}

static TF_Output find(TF_Graph *graph, const char *name, int index) {
  TF_Output output = {TF_GraphOperationByName(graph, name), index};
  if (output.oper == NULL) fail("no such operation", name);
  return output;
}

static TF_Tensor *read_tensor(FILE *job) {
  char path[NAME];
  int dtype, rank;
  int64_t shape[RANKS];
  size_t bytes;
  if (fscanf(job, "%d %d", &dtype, &rank) != 2 || rank > RANKS) fail("bad line", "feed");
  bytes = TF_DataTypeSize((TF_DataType)dtype);
  for (int i = 0; i < rank; i++) {
    long long size;
    if (fscanf(job, "%lld", &size) != 1) fail("bad shape", "feed");
    shape[i] = size;
    bytes *= (size_t)size;
  }
  if (fscanf(job, "%511s", path) != 1) fail("no file", "feed");
  TF_Tensor *tensor = TF_AllocateTensor((TF_DataType)dtype, shape, rank, bytes);
  FILE *values = fopen(path, "rb");
  if (values == NULL || fread(TF_TensorData(tensor), 1, bytes, values) != bytes) fail("short", path);
  fclose(values);
  return tensor;
}

int main(int count, char **arguments) {
  if (count != 3) fail("usage", "run_savedmodel FOLDER JOB");
  const char *tags[] = {"serve"};
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph,
                                                     NULL, status);
  check(status, "load");

  TF_Output feeds[MOST], fetches[MOST];
  TF_Tensor *given[MOST], *made[MOST];
  char paths[MOST][NAME], kind[NAME], name[NAME];
  int index, fed = 0, fetched = 0;
  FILE *job = fopen(arguments[2], "r");
  if (job == NULL) fail("no job", arguments[2]);
  while (fscanf(job, "%511s %511s %d", kind, name, &index) == 3) {
    if (fed == MOST || fetched == MOST) fail("too many tensors", name);
    if (strcmp(kind, "feed") == 0) {
      feeds[fed] = find(graph, name, index);
      given[fed++] = read_tensor(job);
    } else {
      fetches[fetched] = find(graph, name, index);
      if (fscanf(job, "%511s", paths[fetched++]) != 1) fail("no file", "fetch");
    }
  }
  fclose(job);

  TF_SessionRun(session, NULL, feeds, given, fed, fetches, made, fetched, NULL, 0, NULL, status);
  check(status, "run");
  for (int i = 0; i < fetched; i++) {
    size_t bytes = TF_TensorByteSize(made[i]);
    FILE *values = fopen(paths[i], "wb");
    if (values == NULL || fwrite(TF_TensorData(made[i]), 1, bytes, values) != bytes)
      fail("cannot write", paths[i]);
    fclose(values);
  }
  TF_CloseSession(session, status);
  check(status, "close");
  return 0;
}
