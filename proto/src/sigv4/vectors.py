"""Writes vectors.json: requests that botocore signed. `pip install botocore==1.44.5`, then
`python3 vectors.py > vectors.json`; the output is always the same.

A case is [method, path, query, [[name, value], ...], body, number of the secret]: the request as it goes over the
wire, behind the secrets. Only requests that Shoal accepts are written: each has X-Amz-Date and sends host and x-amz-*
headers once.
"""

import datetime
import json
import random
from hashlib import sha256
from urllib.parse import urlsplit

import botocore.auth as auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CASES = 360
pick = random.Random(20260102)

KEY = 'AKIAIOSFODNN7EXAMPLE'
SECRETS = ['wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', 's', 'x' * 60, 'long' * 32]
TOKENS = [None, None, 'SESSIONTOKEN', 'a+b/c==', 'T' * 100]
REGIONS = ['eu-west-1', 'us-east-1', 'eu-north-1', 'store-17']
SERVICES = ['ecr', 'ecr', 'ecr-public', 'sts']
HOSTS = ['127.0.0.1:8443', 'localhost', 'registry.example.com', '[::1]:5000', 'API.ECR.eu-west-1.amazonaws.com']
PATHS = [
    '', '/', '/', '/', '//', '///', '/.', '/./', '/..', '/../', '/a/../', '/a/..', '/a/./b', '/a/b/../c/', '//a//b//',
    '/ecr/api', '/ecr/api/', '/%2F', '/%2f', '/a%2Fb', '/%7E', '/~', '/+', '/a+b', '/a%2Bb', '/%zz', '/%', '/%25',
    '/a b', '/a%20b', '/caf\u00e9', '/cafe\u0301', '/%C3%A9', '/%2e%2e/a', '/...', "/!$&'()*+,=:@", '/a;b=c', '/[x]',
    '/"<>\\^`{|}', '/A-Z_a.z~0', '/' + 'long/' * 20, '/\U0001f41f',
]
QUERIES = [
    '', '', '', 'a=1', 'b=2&a=1', 'a', 'a=', '=', 'a=&b', 'a=2&a=1&a=10', 'a=1&a=1', 'a==b', 'A=1&a=2&_=3&-=4',
    'a=%20b', 'a=b+c', 'a=%2f&b=%2F', 'a=%7E&b=~', 'caf%C3%A9=%F0%9F%90%9F', 'a=/?:@', 'a=1&&b=2', '&', 'a&', 'b&a=&a',
    'a=%zz', 'list=1&list%5B%5D=2&list-type=3', "q=!$'()*,;",
]
VALUES = [
    '', ' ', 'x', '  lead', 'trail  ', 'two  spaces', 'a \t b', '\ttab\t', '"quoted  space"', 'a,b', 'a, b', 'a:b', 'caf\u00e9',
    ';=,', 'v' * 80,
]
BODIES = ['', '{}', '{"repositoryName": "team/app"}', 'caf\u00e9', 'x' * 100, '\n', '\x00']
METHODS = ['POST', 'POST', 'POST', 'GET', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS']


def headers():
    found = []
    if pick.random() < 0.7:
        found.append(('Content-Type', pick.choice(['application/x-amz-json-1.1', 'text/plain;  charset=utf-8'])))
    if pick.random() < 0.7:
        found.append(('X-Amz-Target', 'AmazonEC2ContainerRegistry_V20150921.' + pick.choice(['PutImage', 'ListImages'])))
    for _ in range(pick.choice([0, 0, 1, 2])):
        name = pick.choice(['X-Custom', 'x-custom', 'Accept', 'x.odd!name', 'X-Amz-Meta'])
        if not (name == 'X-Amz-Meta' and any(other == name for other, _ in found)):
            found.append((name, pick.choice(VALUES)))
    # Not signed by botocore.
    if pick.random() < 0.3:
        found.append(('User-Agent', 'Boto3/1.44.5  md/x'))
    if pick.random() < 0.2:
        found.append(('X-Amzn-Trace-Id', 'Root=1;Parent=2'))
    return found


def case():
    presigned = pick.random() < 0.3
    now = datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=pick.randrange(500_000_000))
    auth.get_current_datetime = lambda *_: now
    secret = pick.choice(SECRETS)
    credentials = Credentials(KEY, secret, pick.choice(TOKENS))
    service, region = pick.choice(SERVICES), pick.choice(REGIONS)

    query = pick.choice(QUERIES)
    url = pick.choice(['http://', 'https://']) + pick.choice(HOSTS) + pick.choice(PATHS) + (query and '?' + query)
    body = '' if presigned else pick.choice(BODIES)
    request = AWSRequest(method=pick.choice(METHODS), url=url, data=body.encode())
    for name, value in headers():
        request.headers[name] = value
    if not presigned and pick.random() < 0.2:
        request.headers['X-Amz-Content-SHA256'] = sha256(body.encode()).hexdigest()
    if presigned:
        expires = pick.choice([1, 60, 3600, 604800])
        auth.SigV4QueryAuth(credentials, service, region, expires).add_auth(request)
    else:
        auth.SigV4Auth(credentials, service, region).add_auth(request)

    wire = urlsplit(request.url)
    sent = list(request.headers.items()) + [('Host', auth._host_from_url(request.url))]
    return [request.method, wire.path or '/', wire.query, sent, body, SECRETS.index(secret)]


lines = [json.dumps(line, separators=(',', ':'), ensure_ascii=False) for line in [SECRETS, *(case() for _ in range(CASES))]]
print('[', ',\n'.join(lines), ']', sep='\n')
