"""The local fine-tuning endpoint: a server of OpenAI's protocol that trains adapters here and answers with them.

server.py      `thirdlever serve`: one process a folder, listening until it is told to stop
app.py         the routes; auth.py before them, errors.py around them, bodies.py and pagination.py within
file_api.py, job_api.py, model_api.py, chat.py: what the routes do
files.py, jobs.py, models.py: the state, in files, so that it outlives the process
scheduler.py   has jobs trained, one at a time, each by a worker.py in a process of its own
process.py     for other programs: the endpoint of a folder, started when it is not running
"""
